"""The run folder before any work: can it be written, is it free, what does its storage promise?"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from annotator.errors import UserError
from annotator.locations import is_remote, location, redacted
from annotator.store import run_info

UNCONDITIONAL = (
    "{place}: this store has no conditional writes, so of two writers of a shard the last one stands, not "
    "the first. No row is doubled in what `verify` accepts, but a late writer may leave files behind, or a "
    "shard to be made anew; `verify` names both and running again mends them. Let one driver at a time work "
    "on it"
)


def check_writable(out: str) -> str | None:
    """Fail before any work when the run folder cannot be made or written.

    Returns what a person should know about the storage, if anything.

    Raises:
        UserError: it cannot be written, or holds something that is no run.
    """
    if is_remote(out):
        return _check_objects(out)
    if "://" in out:  # as a path it would be a folder named after its scheme
        raise UserError(
            f"--out {redacted(out)} names no place that can be written; name a folder, or an object store as "
            "in s3://bucket/run (docs/storage.md)"
        )
    return _check_folder(Path(out))


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder} is a file; name a folder for the run")
    # A start that was killed in its first moment leaves nothing but a file that was being written.
    others = (path for path in folder.iterdir() if not path.name.endswith(".tmp")) if folder.is_dir() else ()
    if any(others) and not (folder / run_info.FILE_NAME).exists():
        if (folder / "commits").is_dir():
            run_info.read(folder)  # a run that has lost it, as that says
        raise UserError(f"--out {folder} holds other files and no run; name a new folder, or empty this one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"--out {folder} cannot be written: {error.strerror}") from None


def _check_objects(out: str) -> str | None:
    from annotator.store.object_storage import ObjectStorage, probe
    from annotator.store.objects import list_objects

    place = location(out, "--out")
    if not place.key:
        raise UserError(f"--out {place.url} is a whole bucket; name a folder in it, as in {place.url}/run")
    try:
        first = next(list_objects(place), None)
        storage = ObjectStorage(place)
        if first is not None:
            try:
                storage.size(run_info.FILE_NAME)
            except FileNotFoundError:
                raise UserError(
                    f"--out {place.url} holds other objects and no run, such as {first[0]}; name a new folder"
                ) from None
        keeps = probe(storage, f".write-test-{uuid.uuid4().hex[:16]}")
    except OSError as error:
        raise UserError(f"--out {place.url} cannot be used: {error.strerror}") from None
    return None if keeps else UNCONDITIONAL.format(place=place.url)
