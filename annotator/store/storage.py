"""Where the files of a run are, and the few things that a run needs of such a place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from annotator.locations import absolute, is_remote, location

# Where each call is a request, so many are under way at a time, of so many that are handed out at once.
AT_A_TIME, PAGE = 32, 4096

T = TypeVar("T")
R = TypeVar("R")


class Storage(Protocol):
    """A folder of files by names relative to it, with forward slashes. All calls may come from any thread.

    Whatever is written appears whole or not at all, and stays. Failures are OSErrors of the system's kinds,
    FileNotFoundError for a name that is not there, whatever is behind it; `write_failure` puts them in words.

    Attributes:
        place: absolute path or URL, for messages.
        remote: it is not a folder of this machine: a call takes milliseconds, and nothing can be appended to.
    """

    place: str
    remote: bool

    def read(self, name: str) -> bytes:
        """The content of a file."""
        ...

    def size(self, name: str) -> int:
        """Bytes of a file."""
        ...

    def modified(self, name: str) -> float:
        """When a file was written, in seconds since 1970 by the storage's clock: to compare with others."""
        ...

    def open(self, name: str) -> BinaryIO:
        """A file to read from, seekable."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names directly in a folder ("" for the whole), in no order; empty where there is none."""
        ...

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of the files directly in a folder, by name; empty where there is none."""
        ...

    def add(self, name: str, data: bytes | memoryview) -> None:
        """Write a file under a name that nobody else uses."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Write a file unless there is one: of all who try, one wins.

        Args:
            data: unlike anybody else's, so that it can be told whose file stands when a reply was lost.

        Returns whether the file that stands is this one.

        Raises:
            UnsettledError: it cannot be told; the file may appear yet.
        """
        ...

    def replace(self, name: str, data: bytes | memoryview) -> None:
        """Write a file or put another in its place; readers see one of the two."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        ...

    def set_aside(self, name: str, aside: str, wanted: Callable[[bytes], bool]) -> bool:
        """Give a file another name if its content, when it moves, is `wanted`; returns whether it moved."""
        ...


def storage_at(place: str | Path) -> Storage:
    """The storage behind a run folder or URL.

    Raises:
        UserError: a URL that names no bucket, or with credentials in it.
    """
    return _storage(absolute(place))


def many(storage: Storage, call: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
    """What a call on a storage returns for each of many things, in order; raises what it raises."""
    if not storage.remote:
        yield from map(call, things)
        return
    with ThreadPoolExecutor(AT_A_TIME, "storage") as pool:
        for start in range(0, len(things), PAGE):
            yield from pool.map(call, things[start : start + PAGE])


@lru_cache(maxsize=16)
def _storage(place: str) -> Storage:
    if is_remote(place):
        from annotator.store.object_storage import ObjectStorage

        return ObjectStorage(location(place))
    from annotator.store.local import LocalStorage

    return LocalStorage(Path(place))
