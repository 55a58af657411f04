"""Shards whose record or files were damaged after their commit: found, and made to count as not done."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path

from annotator.store.records import CorruptRecordError, generations, parse_record, record_name
from annotator.store.storage import Storage, storage_at


def repair(run_dir: str | Path) -> dict[int, str]:
    """Make damaged shards count as not done, so that a resumed run makes them anew; call it before resuming.

    Returns what was wrong by shard: the commit record cannot be read, or a data file that it names is lost or
    of another size (`verify` looks deeper).
    """
    storage = storage_at(run_dir)
    found = {}
    for shard, numbers in generations(run_dir).items():
        # The files of a superseded generation are gone: once the latest is damaged, so are the others.
        for generation in reversed(numbers):
            with contextlib.suppress(FileNotFoundError):
                damage = _damage(storage, storage.read(record_name(shard, generation)), shard)
                if damage is None:
                    break
                if set_aside_damaged(storage, shard, generation):
                    found.setdefault(shard, damage)
    return found


def set_aside_damaged(storage: Storage, shard: int, generation: int = 0) -> bool:
    """Take the commit record of a damaged shard out of the way, so that the shard counts as not done.

    The record stays beside the others under a hidden name until the shard is committed anew and swept.
    Returns whether a damaged record was moved. Safe beside other writers: a good record is never lost.
    """
    return storage.set_aside(
        record_name(shard, generation),
        f"commits/.s{shard:06d}-{uuid.uuid4().hex[:16]}.corrupt",
        lambda data: _damage(storage, data, shard) is not None,
    )


def _damage(storage: Storage, data: bytes, shard: int) -> str | None:
    """What is wrong with a record or the files that it names, as far as a look at their sizes tells."""
    try:
        record = parse_record(data, shard)
    except CorruptRecordError as error:
        return f"its commit record is damaged ({error})"
    for entry in record.files.values():
        try:
            size = storage.size(entry.name)
        except FileNotFoundError:
            return f"{entry.name} is lost"
        if size != entry.bytes:
            return f"{entry.name} has {size} bytes; {entry.bytes} were committed"
    return None
