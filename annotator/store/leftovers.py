"""Files that no commit record names: what dead and beaten attempts leave, and rows that were replaced."""

from __future__ import annotations

import re
import uuid
from collections.abc import Container
from pathlib import Path

from annotator.store.records import FOLDERS, CommitRecord, iter_records, listed
from annotator.store.recovery import lack, lost_attempts
from annotator.store.storage import Storage, many, storage_at

# Seconds after which an attempt that published nothing counts as dead: an hour, in which any commit ends, and
# one by which the clocks that stamp the files of a run (nodes, front ends of a store) may differ.
DEAD_AFTER = 2 * 3600

# Everything a commit may leave in a run's folders, hidden or not.
OWN_FILE = re.compile(
    r"^\.?s(?P<shard>\d{6,})(-g(?P<generation>\d{3,}))?-(?P<attempt>[0-9a-f]{16})\.(parquet|json|corrupt)(\.tmp)?$"
)


def sweep(run_dir: str | Path) -> list[str]:
    """Remove what dead and beaten attempts at committed shards left behind, and superseded rows.

    Safe beside any worker. A file that no standing record names goes

    - if its generation or a later one stands: that attempt comes too late;
    - if its attempt was the winner of rows that were lost since, as a record that was put aside says;
    - if it is older than `DEAD_AFTER`, by the storage's own clock. An attempt that slept so long and wins
      after all stands without its files, which takes nothing away: what it replaced stays until there are
      whole rows again, and `repair` goes back to it.

    All else stays (`verify` reports it), and so does anything that this module did not name. Where files that
    the standing record names are lost or cut, all of the shard stays: what they replaced may be the last good
    rows.

    Returns the removed files, relative to the run folder.
    """
    storage = storage_at(run_dir)
    files = listed(storage, FOLDERS)
    whole = {
        shard: record
        for shard, record in iter_records(run_dir)
        if isinstance(record, CommitRecord) and lack(record, files.__getitem__) is None
    }
    lost = lost_attempts(storage, files)
    over, undecided = [], []
    needed = {entry.name for record in whole.values() for entry in record.files.values()}
    for name in files.keys() - needed:
        match = _own(name)
        standing = whole.get(int(match["shard"])) if match else None
        if match and standing:
            (over if is_over(match, standing.generation, lost) else undecided).append(name)
    over += _long_there(storage, undecided)
    # Records go last: one that was put aside says what else has to go.
    records = {name for name in over if name.startswith("commits/")}
    for names in (set(over) - records, records):
        for _ in many(storage, storage.remove, list(names)):
            pass
    return sorted(over)


def is_over(match: re.Match[str], standing: int, lost: Container[str]) -> bool:
    """Whether the attempt that a file is of can win no more, whatever the time.

    Args:
        match: what `OWN_FILE` finds in the file's name.
        standing: generation of the record that stands for its shard.
        lost: as `lost_attempts` says.
    """
    return int(match["generation"] or 0) <= standing or match["attempt"] in lost


def generations_begun(storage: Storage) -> dict[int, int]:
    """The highest generation of any file of each shard, whatever became of the attempt that it is of."""
    begun: dict[int, int] = {}
    for match in filter(None, map(_own, listed(storage, FOLDERS))):
        shard, generation = int(match["shard"]), int(match["generation"] or 0)
        begun[shard] = max(begun.get(shard, 0), generation)
    return begun


def _own(name: str) -> re.Match[str] | None:
    return OWN_FILE.match(name.partition("/")[2])


def _long_there(storage: Storage, names: list[str]) -> list[str]:
    """Those of some files that were written long ago."""
    if not names:
        return []
    # Called as something that another sweep removes, should this process die here.
    clock = f"commits/.s000000-{uuid.uuid4().hex[:16]}.json.tmp"
    storage.replace(clock, b"")
    try:
        now = storage.modified(clock)
    finally:
        storage.remove(clock)

    def written(name: str) -> float:
        try:
            return storage.modified(name)
        except FileNotFoundError:
            return now  # it was taken back, or put in place

    times = zip(names, many(storage, written, names), strict=True)
    return [name for name, time in times if time + DEAD_AFTER < now]
