"""A run folder in an object store: commits by conditional requests, and what is left where there are none."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable
from typing import BinaryIO

from annotator.locations import Location, location
from annotator.store.durable import UnsettledError
from annotator.store.objects import (
    client,
    failures,
    first_line,
    list_objects,
    modified_at,
    open_object,
    os_error,
    read_object,
    size_of,
)

# Seconds between attempts at a write of which nobody can tell whether it happened; obstore tries again by
# itself for `objects.RETRY_SECONDS` first.
PAUSES = (0.2, 1.0, 5.0)


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

    def modified(self, name: str) -> float:
        return modified_at(self._location.below(name))

    def open(self, name: str) -> BinaryIO:
        return open_object(self._location.below(name))

    def names(self, folder: str) -> list[str]:
        return list(self.sizes(folder))

    def sizes(self, folder: str) -> dict[str, int]:
        place = self._location.below(folder) if folder else self._location
        return {name: size for name, size in list_objects(place) if "/" not in name}

    def add(self, name: str, data: bytes | memoryview) -> None:
        self._put(name, data)

    def replace(self, name: str, data: bytes | memoryview) -> None:
        self._put(name, data)

    def _put(self, name: str, data: bytes | memoryview) -> None:
        import obstore

        place = self._location.below(name)
        with failures(place):
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
                raise os_error(failure, place) from None
            if pause is not None:
                time.sleep(pause)
        reason = first_line(failure) if failure is not None else "it conflicts, but nothing is there"
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
        with contextlib.suppress(FileNotFoundError), failures(place):
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
        with failures(place):
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


def _knows_no_conditions(error: Exception) -> bool:
    """Whether conditional writes are switched off in the settings, or unknown to the server."""
    from obstore.exceptions import NotSupportedError

    refused = isinstance(error, (NotSupportedError, NotImplementedError))
    return refused or "501 Not Implemented" in first_line(error)


def _is_final(error: Exception) -> bool:
    """Whether trying again is of no use."""
    return os_error(error, Location("", "")).errno != errno.EIO
