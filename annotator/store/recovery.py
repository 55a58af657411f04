"""Shards whose record or files were damaged after their commit: found, and made to count as not done."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from annotator.store.durable import remove, sync_folder
from annotator.store.records import CorruptRecordError, generations, read_record, record_path


def repair(run_dir: str | Path) -> dict[int, str]:
    """Make damaged shards count as not done, so that a resumed run makes them anew; call it before resuming.

    Returns what was wrong by shard: the commit record cannot be read, or a data file that it names is lost or
    of another size (`verify` looks deeper).
    """
    found = {}
    for shard, numbers in generations(run_dir).items():
        # The files of a superseded generation are gone: once the latest is damaged, so are the others.
        for generation in reversed(numbers):
            with contextlib.suppress(FileNotFoundError):
                damage = _damage(Path(run_dir), record_path(run_dir, shard, generation), shard)
                if damage is None:
                    break
                if set_aside_damaged(run_dir, shard, generation):
                    found.setdefault(shard, damage)
    return found


def set_aside_damaged(run_dir: str | Path, shard: int, generation: int = 0) -> bool:
    """Take the commit record of a damaged shard out of the way, so that the shard counts as not done.

    The record stays beside the others under a hidden name until the shard is committed anew and swept.
    Returns whether a damaged record was moved. Safe beside other writers: a good record is never lost.
    """
    path = record_path(run_dir, shard, generation)
    aside = path.with_name(f".s{shard:06d}-{uuid.uuid4().hex[:16]}.corrupt")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return False
    damaged = _damage(Path(run_dir), aside, shard) is not None
    if not damaged:
        # Between look and move somebody had replaced it by a good one: it goes back, first writer wins.
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
        remove(aside)
    sync_folder(path.parent)
    return damaged


def _damage(run_dir: Path, path: Path, shard: int) -> str | None:
    """What is wrong with a record or the files that it names, as far as a look at their sizes tells."""
    try:
        record = read_record(path, shard)
    except CorruptRecordError as error:
        return f"its commit record is damaged ({error})"
    for entry in record.files.values():
        try:
            size = (run_dir / entry.name).stat().st_size
        except FileNotFoundError:
            return f"{entry.name} is lost"
        if size != entry.bytes:
            return f"{entry.name} has {size} bytes; {entry.bytes} were committed"
    return None
