"""Objects of S3, Google Cloud Storage, Azure and their like: connect, read, list, and what goes wrong.

Everything goes through obstore, which takes credentials and endpoints from the environment alone.
"""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache
from typing import IO, Any, BinaryIO

from annotator.errors import RunFailed
from annotator.locations import Location, redacted

RETRIES, RETRY_SECONDS, REQUEST_SECONDS = 5, 60, 120
# Smaller files are opened in memory, larger ones as a copy on disk that grows piece by piece.
WHOLE_BYTES, PIECE_BYTES = 32 << 20, 4 << 20
LIST_PAGE = 1000


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
        raise RunFailed(f"cannot connect to {bucket}: {first_line(error)} (docs/storage.md)") from None


def read_object(place: Location, most: int | None = None) -> bytes:
    """The content of an object.

    Args:
        most: bytes above which it is not read.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read; EFBIG for one that is larger than `most`.
    """
    import obstore

    with failures(place):
        answer = obstore.get(client(place.bucket), place.key)
        size = answer.meta["size"]
        if most is not None and size > most:
            raise OSError(errno.EFBIG, f"{size:,} bytes; at most {most:,} are read", place.url)
        return bytes(answer.bytes())


def read_start(place: Location, most: int) -> bytes:
    """The first bytes of an object, in one request; b"" of an empty one.

    Args:
        most: so many bytes, if it has them.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read.
    """
    import obstore

    try:
        with failures(place):
            return bytes(obstore.get_range(client(place.bucket), place.key, start=0, length=most))
    except FileNotFoundError:
        raise
    except OSError:
        # No range is within an empty object.
        if size_of(place) == 0:
            return b""
        raise


def size_of(place: Location) -> int:
    """Bytes of an object.

    Raises:
        FileNotFoundError: there is none.
        OSError: the store does not answer.
    """
    return _meta(place)["size"]


def modified_at(place: Location) -> float:
    """When an object was written, in seconds since 1970 by the store's clock; errors as `size_of`."""
    return _meta(place)["last_modified"].timestamp()


def _meta(place: Location) -> Any:
    import obstore

    with failures(place):
        return obstore.head(client(place.bucket), place.key)


def open_object(place: Location) -> BinaryIO:
    """An object as a file to read: in memory, or a copy on this machine; errors as `read_object`.

    The copy has no name on the disk, so it goes with the process; the last one is kept for the next call, as
    a plan is read bit by bit.
    """
    meta = _meta(place)
    if meta["size"] <= WHOLE_BYTES:
        return io.BytesIO(read_object(place))
    copy = _copy(place, meta["size"], meta["last_modified"], meta["e_tag"])
    # Opened anew: a duplicate would be where others have read to.
    return open(f"/proc/self/fd/{copy.fileno()}", "rb")  # noqa: PTH123 - the caller's to close


@lru_cache(maxsize=1)
def _copy(place: Location, *_: object) -> IO[bytes]:
    file = tempfile.TemporaryFile(prefix="annotator-object-")  # noqa: SIM115 - kept for later calls
    try:
        for piece in pieces(place):
            file.write(piece)
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def pieces(place: Location) -> Iterator[bytes]:
    """The content of an object in order, a piece at a time; errors as `read_object`."""
    import obstore

    with failures(place):
        for piece in obstore.get(client(place.bucket), place.key).stream(min_chunk_size=PIECE_BYTES):
            yield bytes(piece)


def list_objects(place: Location) -> Iterator[tuple[str, int]]:
    """(key relative to `place`, bytes) of everything below it, in the order of the store.

    Raises:
        OSError: it cannot be listed.
    """
    import obstore

    prefix = f"{place.key}/" if place.key else ""
    with failures(place):
        for page in obstore.list(client(place.bucket), prefix or None, chunk_size=LIST_PAGE):
            for entry in page:
                yield entry["path"][len(prefix) :], entry["size"]


class failures:  # noqa: N801 - reads as a statement: with failures(place)
    """Turn obstore's errors into the system's, with the name of the place and no secrets."""

    def __init__(self, place: Location) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        from obstore.exceptions import BaseError

        if isinstance(error, BaseError) or (isinstance(error, OSError) and error.errno is None):
            raise os_error(error, self._place) from None


def os_error(error: Exception, place: Location) -> OSError:
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
    return OSError(number, first_line(error), place.url)


def first_line(error: Exception) -> str:
    """The start of obstore's message; the rest is the request and the server's page, key ids included."""
    text = str(error).strip().split("\n", 1)[0].split("<", 1)[0].rstrip(" :")
    if "builder error" in text:
        text += "; for an endpoint without TLS set AWS_ALLOW_HTTP=true"
    return redacted(text)[:300]
