"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from annotator.errors import UserError
from annotator.store.durable import remove, sync_folder, write_failure


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A hidden path beside `path` to write to, which takes its place at the end, or not at all.

    Raises:
        UserError, RunFailed: as `atomic_text`.
    """
    path = Path(path)
    with atomic_text(path) as placeholder:
        yield Path(placeholder.name)


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A hidden folder beside `path` to fill, which takes its place at the end, or not at all.

    Raises:
        UserError: something is there already, or it cannot be written.
        RunFailed: the disk is full or failing.
    """
    path = Path(path)
    if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
        raise UserError(f"{path} is there already; this format is a folder: name one that is new or empty")
    aside = path.with_name(f".{path.name}-{uuid.uuid4().hex[:16]}.tmp")
    try:
        aside.mkdir(parents=True)
        yield aside
        if path.is_dir():
            path.rmdir()
        aside.rename(path)
        sync_folder(path.parent)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    except OSError as error:
        raise write_failure(error, path) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def atomic_text(path: str | Path) -> Iterator[IO[str]]:
    """Write UTF-8 text to a hidden file beside `path`, which it replaces at the end, or not at all.

    Raises:
        UserError: the path is a folder or cannot be written.
        RunFailed: the disk is full or failing.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file, as in {path / 'annotations.json'}")
    aside = path.with_name(f".{path.name}-{uuid.uuid4().hex[:16]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("x", encoding="utf-8") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        aside.replace(path)
        sync_folder(path.parent)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        remove(aside)
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    except OSError as error:
        remove(aside)
        raise write_failure(error, path) from error
    except BaseException:
        remove(aside)
        raise
