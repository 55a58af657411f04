"""Bytes that survive a power cut: written aside, synced, put in place in one step, the folder synced too."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from annotator.errors import AnnotatorError, RunFailed

# Something else stands in the place of a file or of its folder, which does not pass.
NO_FILE = (errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ELOOP)


class UnsettledError(OSError):
    """Nobody can tell whether a write happened."""


def write_new(path: Path, data: bytes | memoryview) -> None:
    """Create `path` with `data` and sync it; it must not exist. On any failure nothing is left behind.

    Raises:
        OSError: as the system gives it, FileExistsError included.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        remove(path)
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (`fsync` of a file alone does not)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes | memoryview) -> None:
    """Put `data` at `path` in one step: readers see the old content or the new, never half of it.

    Raises:
        OSError: as the system gives it; the old content is then untouched.
    """
    aside = path.with_name(f".{path.name}-{uuid.uuid4().hex[:16]}.tmp")
    write_new(aside, data)
    try:
        aside.replace(path)
    except BaseException:
        remove(aside)
        raise
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Unlink if it can be; for clearing up after a failure, which must not hide the failure itself."""
    with contextlib.suppress(OSError):
        path.unlink()


@contextlib.contextmanager
def failures_in_words(where: Path | str) -> Iterator[None]:
    """Raise what an OSError means to a person in its place, as `write_failure`."""
    try:
        yield
    except OSError as error:
        raise write_failure(error, error.filename or where) from error


def write_failure(error: OSError, where: Path | str) -> AnnotatorError:
    """What a failed write means to a person, and what to do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        cause = "no space left on the device" if error.errno == errno.ENOSPC else "the disk quota is used up"
        return RunFailed(
            f"{cause}, writing to {where}. What was committed is safe: free space, then run again"
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return RunFailed(f"cannot write to {where}: {error.strerror}. Make it writable, then run again")
    if error.errno in NO_FILE:
        return RunFailed(
            f"{where}: {error.strerror}: something else is in its place, or in that of its folder. What was "
            "committed is safe: move that away, then run again"
        )
    return RunFailed(
        f"reading or writing {where} failed: {error}. What was committed is safe: run again to go on"
    )
