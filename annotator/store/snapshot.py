"""A run as it stands at one moment: all that is read is of the same rows, though the run goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from annotator.store.reader import Run
from annotator.store.records import CommitRecord
from annotator.store.schema import SCHEMAS


class Snapshot(Run):
    """A run whose committed shards are those of the moment when this was made.

    Rows that are replaced meanwhile (people are followed once all shards are there, errors are retried) are
    swept away: reading them raises `RunFailed`, which says so.
    """

    def __init__(self, run: Run, records: dict[int, CommitRecord] | None = None) -> None:
        self.__dict__.update(run.__dict__)
        self._records = run.committed() if records is None else records

    def shards(self) -> Iterator[tuple[CommitRecord, pa.RecordBatch, pa.RecordBatch]]:
        """Record, images and instances of each shard, in plan order; no rows are an empty batch."""
        for shard, record in self.committed().items():
            one = Snapshot(self, {shard: record})
            yield record, *(_only(name, getattr(one, name)()) for name in ("images", "instances"))


def _only(table: str, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch:
    empty = pa.RecordBatch.from_pylist([], schema=SCHEMAS[table])
    return next(batches, empty)
