"""Shards whose record or files were damaged after their commit: found, and made to count as not done."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from annotator.store.records import (
    TABLE_FOLDERS,
    CommitRecord,
    CorruptRecordError,
    contents,
    generations,
    listed,
    parse_record,
    record_name,
    record_since,
)
from annotator.store.storage import Storage, storage_at

_PUT_ASIDE = ".corrupt"


def repair(run_dir: str | Path) -> dict[int, str]:
    """Make damaged shards count as not done, so that a resumed run makes them anew; call it before resuming.

    Returns what was wrong by shard: the commit record cannot be read, or a data file that it names is lost or
    of another size (`verify` looks deeper).
    """
    storage, known = storage_at(run_dir), generations(run_dir)
    found = {}
    for shard in _suspects(storage, known):
        # The files of a superseded generation are gone: once the latest is damaged, so are the others.
        for generation in reversed(known[shard]):
            with contextlib.suppress(FileNotFoundError):
                damage = _damage(storage.read(record_name(shard, generation)), shard, storage.size)
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
        f"commits/.s{shard:06d}-{uuid.uuid4().hex[:16]}{_PUT_ASIDE}",
        lambda data: _damage(data, shard, storage.size) is not None,
    )


def lost_attempts(storage: Storage, names: Iterable[str]) -> set[str]:
    """Attempts that have won and whose rows were lost, as far as the records that were put aside say.

    Args:
        names: of the files in `commits`, relative to the run folder.
    """
    lost = set()
    for data in contents(storage, [name for name in names if name.endswith(_PUT_ASIDE)]):
        with contextlib.suppress(CorruptRecordError):
            record = CommitRecord.from_json(data or b"")
            # A good one is on its way back to its place.
            if lack(record, storage.size) is not None:
                lost.add(record.attempt)
    return lost


def lost_rows(run_dir: str | Path, records: Mapping[int, CommitRecord]) -> dict[int, str]:
    """What of the rows of these shards is lost; `repair` makes such a shard count as not done.

    Args:
        records: those that stood a moment ago.
    """
    storage = storage_at(run_dir)
    there = listed(storage, TABLE_FOLDERS)
    lost = {}
    for shard, record in records.items():
        if lack(record, there.__getitem__) is None:
            continue
        try:
            # Others may have taken its place since.
            what = lack(record_since(run_dir, shard, record.generation), storage.size)
        except (FileNotFoundError, CorruptRecordError):
            what = "its commit record is lost"
        if what is not None:
            lost[shard] = what
    return lost


def lack(record: CommitRecord, size: Callable[[str], int]) -> str | None:
    """What is wrong with the files that a record names.

    Args:
        size: of a file by its name; FileNotFoundError or KeyError where there is none.
    """
    for entry in record.files.values():
        try:
            found = size(entry.name)
        except (FileNotFoundError, KeyError):
            return f"{entry.name} is lost"
        if found != entry.bytes:
            return f"{entry.name} has {found} bytes; {entry.bytes} were committed"
    return None


def _suspects(storage: Storage, known: Mapping[int, Sequence[int]]) -> Iterator[int]:
    """Shards to look at one by one: what was committed since the files were listed may be among them."""
    sizes = listed(storage, TABLE_FOLDERS)
    latest = [record_name(shard, numbers[-1]) for shard, numbers in known.items()]
    for shard, data in zip(known, contents(storage, latest), strict=True):
        if data is None or _damage(data, shard, sizes.__getitem__) is not None:
            yield shard


def _damage(data: bytes, shard: int, size: Callable[[str], int]) -> str | None:
    """What is wrong with a record or the files that it names, as far as a look at their sizes tells."""
    try:
        return lack(parse_record(data, shard), size)
    except CorruptRecordError as error:
        return f"its commit record is damaged ({error})"
