"""How far a run is, from its commit records alone: a live run, a dead one, from any terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from annotator.store import run_info
from annotator.store.records import CommitRecord, CorruptRecordError, iter_records
from annotator.store.run_info import RunInfo


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a run.

    Attributes:
        state: "finished" when all shards are committed, else as run.json says ("running" also after a kill).
        items, shards: planned. shards_done: committed.
        images: rows so far; ok, empty and error add up to it.
        people: instances so far.
        errors: error rows by "stage/kind", most frequent first.
        damaged: shards whose commit record cannot be read; they count as not done.
        started_at, finished_at: ISO 8601, UTC. last_commit_at: of the newest record.
        failure: why, when the state is "failed".
    """

    state: str
    items: int
    shards: int
    shards_done: int
    images: int
    ok: int
    empty: int
    error: int
    people: int
    errors: dict[str, int] = field(default_factory=dict)
    damaged: tuple[int, ...] = ()
    started_at: str | None = None
    finished_at: str | None = None
    last_commit_at: str | None = None
    failure: str | None = None

    @property
    def complete(self) -> bool:
        """Every shard is committed."""
        return self.shards_done == self.shards

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self) | {"complete": self.complete}


def summarise(run_dir: str | Path) -> Summary:
    """Count what was committed.

    Raises:
        UserError: not a run folder.
    """
    return summary_of(run_info.read(run_dir), iter_records(run_dir))


def summary_of(info: RunInfo, records: Iterable[tuple[int, CommitRecord | CorruptRecordError]]) -> Summary:
    """Count what these records of a run's shards say."""
    counts: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    damaged: list[int] = []
    done = people = 0
    last = None
    for shard, record in records:
        if isinstance(record, CorruptRecordError):
            damaged.append(shard)
            continue
        done += 1
        people += record.people
        counts.update(record.counts)
        errors.update(record.errors)
        last = max(last or record.committed_at, record.committed_at)
    return Summary(
        state="finished" if done == info.shards else info.state if info.state != "finished" else "running",
        items=info.items,
        shards=info.shards,
        shards_done=done,
        images=sum(counts.values()),
        ok=counts["ok"],
        empty=counts["empty"],
        error=counts["error"],
        people=people,
        errors=dict(errors.most_common()),
        damaged=tuple(damaged),
        started_at=info.started_at,
        finished_at=info.finished_at,
        last_commit_at=last,
        failure=info.failure,
    )
