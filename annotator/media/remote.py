"""Pictures and videos in object stores: pictures are read whole, videos through a local copy."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from annotator.errors import ItemError
from annotator.store.locations import Location, location

# Local copies of videos that one process keeps, at most, and of the free space of the disk.
MOST_BYTES, SHARE_OF_FREE = 8 << 30, 0.5


def read_bytes(uri: str, most: int) -> bytes:
    """The content of an object of at most `most` bytes.

    Raises:
        ItemError: stage "read" with kind missing, empty, too_large or unreadable.
    """
    from annotator.store.objects import read_object

    try:
        data = read_object(location(uri), most)
    except OSError as error:
        raise _item_error(error) from None
    if not data:
        raise ItemError("read", "empty", "the object has 0 bytes")
    return data


@contextmanager
def local_copy(uri: str) -> Iterator[str]:
    """A path under which a copy of an object can be opened; it is good until the end of the block.

    The copy has no name on the disk, so it goes with the last process that has it open, whatever ends that.
    The latest ones are kept for the next call, within `MOST_BYTES`.

    Raises:
        ItemError: stage "read" with kind missing, too_large (for the disk) or unreadable.
    """
    descriptor = _copies.take(uri)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


class _Copies:
    """Copies by URI, the one used last at the end."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[IO[bytes], int]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def take(self, uri: str) -> int:
        """A descriptor of the copy of `uri`, the caller's to close."""
        with self._lock:
            lock = self._locks.setdefault(uri, threading.Lock())
        with lock:
            with self._lock:
                held = self._files.pop(uri, None)
                if held is not None:
                    self._files[uri] = held
                    return os.dup(held[0].fileno())
            file, size = self._fetch(location(uri))
            with self._lock:
                self._files[uri] = file, size
                return os.dup(file.fileno())

    def _fetch(self, place: Location) -> tuple[IO[bytes], int]:
        from annotator.store.objects import pieces, size_of

        try:
            size = size_of(place)
            self._make_room(size)
            file = tempfile.TemporaryFile(prefix="annotator-video-")  # noqa: SIM115 - kept for later calls
            try:
                file.writelines(pieces(place))
                file.flush()
            except BaseException:
                file.close()
                raise
        except OSError as error:
            raise _item_error(error) from None
        return file, size

    def _make_room(self, size: int) -> None:
        """Let the oldest copies go until another one of `size` bytes fits."""
        with self._lock:
            held = sum(bytes_ for _, bytes_ in self._files.values())
            free = shutil.disk_usage(tempfile.gettempdir()).free
            most = min(MOST_BYTES, int((free + held) * SHARE_OF_FREE))
            while self._files and held + size > most:
                file, bytes_ = self._files.pop(next(iter(self._files)))
                file.close()
                held -= bytes_
        if size > free + held:
            where = tempfile.gettempdir()
            raise OSError(errno.ENOSPC, f"no space for a local copy of {size:,} bytes in {where}")


_copies = _Copies()


def _item_error(error: OSError) -> ItemError:
    kinds = {errno.ENOENT: "missing", errno.EFBIG: "too_large", errno.ENOSPC: "too_large"}
    return ItemError("read", kinds.get(error.errno or 0, "unreadable"), error.strerror or str(error))
