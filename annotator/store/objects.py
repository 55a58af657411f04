"""Files of a run, or inputs, in an object store: S3, Google Cloud Storage, Azure and what speaks like them.

Everything goes through obstore, which takes credentials and endpoints from the environment alone.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import lru_cache
from typing import Any, BinaryIO

from annotator.errors import RunFailed
from annotator.store.locations import Location, location, redacted
from annotator.store.storage import UnsettledError

# Seconds between attempts at a write of which nobody can tell whether it happened; obstore tries again by
# itself for `RETRY_SECONDS` first.
PAUSES = (0.2, 1.0, 5.0)
RETRIES, RETRY_SECONDS, REQUEST_SECONDS = 5, 60, 120
# Smaller files are read at once, larger ones piece by piece.
WHOLE_BYTES, PIECE_BYTES = 32 << 20, 4 << 20
LIST_PAGE = 1000


class ObjectStorage:
    """See `Storage`. `create` is one conditional request ("if none match"), `add` and `replace` are plain.

    A reply that is lost says nothing about the write. So after any failure of `create` the object is read
    back: own content means won, other content lost, none means try again.
    """

    remote = True

    def __init__(self, location: Location) -> None:
        self._location = location
        self.place = location.url

    def read(self, name: str) -> bytes:
        return read_object(self._location.below(name))

    def size(self, name: str) -> int:
        return size_of(self._location.below(name))

    def open(self, name: str) -> BinaryIO:
        return open_object(self._location.below(name))

    def names(self, folder: str) -> list[str]:
        place = self._location.below(folder) if folder else self._location
        names = (name for name, _ in list_objects(place))
        return [name for name in names if "/" not in name]

    def add(self, name: str, data: bytes | memoryview) -> None:
        self._put(name, data)

    def replace(self, name: str, data: bytes | memoryview) -> None:
        self._put(name, data)

    def _put(self, name: str, data: bytes | memoryview) -> None:
        import obstore

        place = self._location.below(name)
        with _failures(place):
            obstore.put(client(place.bucket), place.key, data)

    def create(self, name: str, data: bytes) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        place = self._location.below(name)
        for pause in (*PAUSES, None):
            failure: Exception | None = None
            try:
                obstore.put(client(place.bucket), place.key, data, mode="create", use_multipart=False)
                return True
            except (AlreadyExistsError, PreconditionError):
                pass
            except Exception as error:  # noqa: BLE001 - obstore's own family and Python's kinds
                if _knows_no_conditions(error):
                    return self._create_unconditionally(name, data)
                failure = error
            try:
                return read_object(place) == data
            except FileNotFoundError:
                pass
            except OSError as error:
                failure = failure or error
            if failure is not None and _is_final(failure):
                raise _os_error(failure, place) from None
            if pause is not None:
                time.sleep(pause)
        reason = _first_line(failure) if failure is not None else "it conflicts, but nothing is there"
        raise UnsettledError(errno.EIO, f"nobody can tell whether the write happened: {reason}", place.url)

    def _create_unconditionally(self, name: str, data: bytes) -> bool:
        """Where the store knows no conditions: of writers at one moment the last one wins, not the first."""
        with contextlib.suppress(FileNotFoundError):
            return self.read(name) == data
        self._put(name, data)
        return self.read(name) == data

    def remove(self, name: str) -> None:
        import obstore

        place = self._location.below(name)
        with contextlib.suppress(FileNotFoundError), _failures(place):
            obstore.delete(client(place.bucket), place.key)

    def set_aside(self, name: str, aside: str, wanted: Callable[[bytes], bool]) -> bool:
        """As `Storage` says, but stores know no conditional removal: between look and removal is a moment in
        which another's good file would go. Its shard would count as not done, and be made anew."""
        try:
            data = self.read(name)
        except FileNotFoundError:
            return False
        if not wanted(data):
            return False
        self.replace(aside, data)
        self.remove(name)
        return True


def probe(storage: ObjectStorage, name: str) -> bool:
    """Whether the store keeps the one condition that commits rest on: `create` never replaces.

    Raises:
        OSError: it cannot be written at all.
    """
    import obstore
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    try:
        # Not through `create`, which makes do without conditions.
        place = location(storage.place).below(name)
        with _failures(place):
            obstore.put(client(place.bucket), place.key, b"first")
            try:
                obstore.put(client(place.bucket), place.key, b"second", mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return True
            except Exception as error:
                if not _knows_no_conditions(error):
                    raise
        return False
    finally:
        storage.remove(name)


@lru_cache(maxsize=64)
def client(bucket: str) -> Any:
    """The connection to a bucket; settings and credentials are the environment's.

    Raises:
        RunFailed: they are missing or contradict each other.
    """
    from obstore.store import from_url

    # Options given here replace the environment's, so this one is passed on.
    http = any(
        os.environ.get(f"{vendor}_ALLOW_HTTP", "").lower() in ("true", "1")
        for vendor in ("AWS", "GOOGLE", "AZURE")
    )
    try:
        return from_url(
            bucket,
            client_options={"timeout": timedelta(seconds=REQUEST_SECONDS), "allow_http": http},
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
        )
    except Exception as error:  # noqa: BLE001 - whatever obstore thinks of the settings
        raise RunFailed(f"cannot connect to {bucket}: {_first_line(error)} (docs/storage.md)") from None


def read_object(place: Location, most: int | None = None) -> bytes:
    """The content of an object.

    Args:
        most: bytes above which it is not read.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read; EFBIG for one that is larger than `most`.
    """
    import obstore

    with _failures(place):
        answer = obstore.get(client(place.bucket), place.key)
        size = answer.meta["size"]
        if most is not None and size > most:
            raise OSError(errno.EFBIG, f"{size:,} bytes; at most {most:,} are read", place.url)
        return bytes(answer.bytes())


def size_of(place: Location) -> int:
    """Bytes of an object.

    Raises:
        FileNotFoundError: there is none.
        OSError: the store does not answer.
    """
    import obstore

    with _failures(place):
        return obstore.head(client(place.bucket), place.key)["size"]


def open_object(place: Location) -> BinaryIO:
    """An object as a file to read; errors as `read_object`."""
    size = size_of(place)
    if size <= WHOLE_BYTES:
        return io.BytesIO(read_object(place))
    return io.BufferedReader(_Pieces(place, size), PIECE_BYTES)


def pieces(place: Location) -> Iterator[bytes]:
    """The content of an object in order, a piece at a time; errors as `read_object`."""
    import obstore

    with _failures(place):
        for piece in obstore.get(client(place.bucket), place.key).stream(min_chunk_size=PIECE_BYTES):
            yield bytes(piece)


def list_objects(place: Location) -> Iterator[tuple[str, int]]:
    """(key relative to `place`, bytes) of everything below it, in the order of the store.

    Raises:
        OSError: it cannot be listed.
    """
    import obstore

    prefix = f"{place.key}/" if place.key else ""
    with _failures(place):
        for page in obstore.list(client(place.bucket), prefix or None, chunk_size=LIST_PAGE):
            for entry in page:
                yield entry["path"][len(prefix) :], entry["size"]


class _Pieces(io.RawIOBase):
    """An object of known size, read range by range."""

    def __init__(self, place: Location, size: int) -> None:
        self._place, self._size, self._at = place, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        import obstore

        view = memoryview(buffer).cast("B")
        length = min(len(view), self._size - self._at)
        if length <= 0:
            return 0
        with _failures(self._place):
            data = obstore.get_range(
                client(self._place.bucket), self._place.key, start=self._at, length=length
            )
            view[:length] = bytes(data)
        self._at += length
        return length


class _failures:  # noqa: N801 - reads as a statement: with _failures(place)
    """Turn obstore's errors into the system's, with the name of the place and no secrets."""

    def __init__(self, place: Location) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        from obstore.exceptions import BaseError

        if isinstance(error, BaseError) or (isinstance(error, OSError) and error.errno is None):
            raise _os_error(error, self._place) from None


def _knows_no_conditions(error: Exception) -> bool:
    """Whether conditional writes are switched off in the settings, or unknown to the server."""
    from obstore.exceptions import NotSupportedError

    refused = isinstance(error, (NotSupportedError, NotImplementedError))
    return refused or "501 Not Implemented" in _first_line(error)


def _is_final(error: Exception) -> bool:
    """Whether trying again is of no use."""
    return _os_error(error, Location("", "")).errno != errno.EIO


def _os_error(error: Exception, place: Location) -> OSError:
    from obstore import exceptions as kinds

    if isinstance(error, OSError) and error.errno is not None:
        return error
    number = errno.EIO
    if isinstance(error, FileNotFoundError):
        number = errno.ENOENT
    elif isinstance(error, (PermissionError, kinds.PermissionDeniedError, kinds.UnauthenticatedError)):
        number = errno.EACCES
    elif isinstance(error, kinds.NotSupportedError):
        number = errno.ENOTSUP
    return OSError(number, _first_line(error), place.url)


def _first_line(error: Exception) -> str:
    """The start of obstore's message; the rest is the request and the server's page, key ids included."""
    text = str(error).strip().split("\n", 1)[0].split("<", 1)[0].rstrip(" :")
    if "builder error" in text:
        text += "; for an endpoint without TLS set AWS_ALLOW_HTTP=true"
    return redacted(text)[:300]
