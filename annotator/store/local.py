"""Files of a run in a folder of this machine, or of a file system that it has mounted."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from annotator.errors import RunFailed
from annotator.store.durable import remove, replace_file, sync_folder, write_new

_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


class LocalStorage:
    """See `Storage`. Files are written under hidden names, synced, and renamed or linked into place.

    `create` links: a link never replaces a file, so one of all who try wins.
    """

    remote = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.place = str(folder)

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def size(self, name: str) -> int:
        return (self._folder / name).stat().st_size

    def modified(self, name: str) -> float:
        return (self._folder / name).stat().st_mtime

    def open(self, name: str) -> BinaryIO:
        return (self._folder / name).open("rb")

    def names(self, folder: str) -> list[str]:
        try:
            with os.scandir(self._folder / folder) as entries:
                return [entry.name for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def sizes(self, folder: str) -> dict[str, int]:
        sizes = {}
        for name in self.names(folder):
            try:
                sizes[name] = self.size(f"{folder}/{name}")
            except FileNotFoundError:
                if (self._folder / folder / name).is_symlink():
                    sizes[name] = 0  # it leads nowhere, and is there
        return sizes

    def add(self, name: str, data: bytes | memoryview) -> None:
        path = self._folder / name
        aside = path.with_name(f".{path.name}.tmp")
        with _named(path):
            self._make(path.parent)
            write_new(aside, data)
            try:
                aside.rename(path)
            except BaseException:
                remove(aside)
                raise
            sync_folder(path.parent)

    def create(self, name: str, data: bytes) -> bool:
        path = self._folder / name
        aside = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:16]}{path.suffix}.tmp")
        with _named(path):
            self._make(path.parent)
            write_new(aside, data)
            try:
                os.link(aside, path)
                won = True
            except OSError as error:
                won = self._settle(path, data, error)
            finally:
                remove(aside)
            sync_folder(path.parent)
        return won

    def _settle(self, path: Path, data: bytes, failure: OSError) -> bool:
        """Who won, after an error of `link`: a network file system may lose the reply."""
        try:
            return path.read_bytes() == data
        except FileNotFoundError:
            if isinstance(failure, FileExistsError):
                return False  # it was put aside just now
            if failure.errno in _NO_LINKS:
                raise RunFailed(
                    f"the file system of {self._folder} has no hard links, without which two writers of a "
                    "shard cannot be told apart. Choose a run folder on another one"
                ) from failure
            raise failure from None

    def replace(self, name: str, data: bytes | memoryview) -> None:
        path = self._folder / name
        with _named(path):
            self._make(path.parent)
            replace_file(path, data)

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self._folder / name).unlink()

    def set_aside(self, name: str, aside: str, wanted: Callable[[bytes], bool]) -> bool:
        path, other = self._folder / name, self._folder / aside
        try:
            path.rename(other)
        except FileNotFoundError:
            return False
        moved = wanted(other.read_bytes())
        if not moved:
            # Between look and move somebody had replaced it: it goes back, first writer wins.
            with contextlib.suppress(FileExistsError):
                os.link(other, path)
            remove(other)
        sync_folder(path.parent)
        return moved

    def _make(self, folder: Path) -> None:
        """Make a folder, durably."""
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Give errors of calls on file descriptors the name of the file they were about."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise
