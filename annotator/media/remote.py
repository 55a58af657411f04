"""Pictures and videos in object stores: pictures are read whole, videos through a local copy."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from annotator.errors import ItemError
from annotator.locations import Location, location
from annotator.media import pulse

# Local copies of videos that one process keeps, at most, and of the free space of the disk.
MOST_BYTES, SHARE_OF_FREE = 8 << 30, 0.5
# So long a new one waits for those that are being read, as their readers may be waiting for its own; then it
# goes beyond the bound, or fails where the disk has no room.
PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 1.0


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
    The latest ones are kept for the next call, within `MOST_BYTES`. Where those that are being fetched or
    read leave no room, it waits.

    Raises:
        ItemError: stage "read" with kind missing, too_large (for the disk) or unreadable.
    """
    descriptor = _copies.take(uri)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


class _Copies:
    """Copies by URI, the one used last at the end, and those that are being fetched."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[IO[bytes], int]] = {}
        self._under_way: list[tuple[IO[bytes], int]] = []
        self._locks: dict[str, threading.Lock] = {}
        self._changed = threading.Condition()

    def take(self, uri: str) -> int:
        """A descriptor of the copy of `uri`, the caller's to close."""
        with self._changed:
            lock = self._locks.setdefault(uri, threading.Lock())
        with lock:
            with self._changed:
                held = self._files.pop(uri, None)
                if held is not None:
                    self._files[uri] = held
                    return os.dup(held[0].fileno())
            return self._fetch(uri, location(uri))

    def _fetch(self, uri: str, place: Location) -> int:
        from annotator.store.objects import pieces, size_of

        try:
            size = size_of(place)
            file = tempfile.TemporaryFile(prefix="annotator-video-")  # noqa: SIM115 - kept for later calls
            copy = file, size
            try:
                self._reserve(copy)
                for piece in pieces(place):
                    file.write(piece)
                    pulse.beat()
                file.flush()
            except BaseException:
                # Others look at what is under way; it must be open.
                self._settle(copy)
                file.close()
                raise
        except OSError as error:
            raise _item_error(error) from None
        with self._changed:
            self._settle(copy)
            self._files[uri] = copy
            return os.dup(file.fileno())

    def _reserve(self, copy: tuple[IO[bytes], int]) -> None:
        """Wait until there is room for a copy, and take it."""
        patient_until = time.monotonic() + PATIENCE_SECONDS
        with self._changed:
            while not self._fits(copy[1], time.monotonic() < patient_until):
                # Who closes a film does not tell.
                self._changed.wait(_LOOK_SECONDS)
            self._under_way.append(copy)

    def _settle(self, copy: tuple[IO[bytes], int]) -> None:
        """A copy is not under way any more."""
        with self._changed:
            if copy in self._under_way:
                self._under_way.remove(copy)
            self._changed.notify_all()

    def _fits(self, size: int, patient: bool) -> bool:
        """Whether there is room for `size` bytes, once the oldest copies that nobody reads are gone.

        Args:
            patient: whether to wait for the copies that are being fetched and read.

        Raises:
            OSError: the disk has none, and there is nothing to wait for, or no patience left.
        """
        where = tempfile.gettempdir()
        missing = sum(bytes_ - os.fstat(file.fileno()).st_size for file, bytes_ in self._under_way)
        free = shutil.disk_usage(where).free - missing
        held = sum(bytes_ for _, bytes_ in (*self._under_way, *self._files.values()))
        most = min(MOST_BYTES, int((free + held) * SHARE_OF_FREE))
        descriptors = _descriptors()
        for uri, (file, bytes_) in list(self._files.items()):
            if held + size <= most:
                break
            if descriptors[_identity(file.fileno())] == 1:  # ours
                del self._files[uri]
                file.close()
                held, free = held - bytes_, free + bytes_
        if held + size <= most:
            return True
        if held and patient:
            return False
        if size > free:
            raise OSError(errno.ENOSPC, f"no space for a local copy of {size:,} bytes in {where}")
        return True


def _descriptors() -> Counter[tuple[int, int]]:
    """How many descriptors this process has of each file."""
    found: Counter[tuple[int, int]] = Counter()
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found[_identity(int(number))] += 1
    return found


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


_copies = _Copies()


def _item_error(error: OSError) -> ItemError:
    kinds = {errno.ENOENT: "missing", errno.EFBIG: "too_large", errno.ENOSPC: "too_large"}
    return ItemError("read", kinds.get(error.errno or 0, "unreadable"), error.strerror or str(error))
