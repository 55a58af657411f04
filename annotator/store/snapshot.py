"""A run as it stands at one moment: all that is read is of the same rows, though the run goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from annotator.store.reader import Run
from annotator.store.records import CommitRecord
from annotator.store.schema import SCHEMAS
from annotator.store.view import View


class Snapshot(View):
    """A run whose committed shards are those of the moment when this was made.

    Rows that are replaced meanwhile (people are followed once all shards are there, errors are retried) are
    swept away: reading them raises `RunFailed`, which says so.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._records = run.committed()

    def shards(self) -> Iterator[tuple[CommitRecord, pa.RecordBatch, pa.RecordBatch]]:
        """Record, images and instances of each shard, in plan order; no rows are an empty batch."""
        for record in self.committed().values():
            yield record, self._shard("images", record), self._shard("instances", record)

    def _shard(self, table: str, record: CommitRecord) -> pa.RecordBatch:
        empty = pa.RecordBatch.from_pylist([], schema=SCHEMAS[table])
        return next(self._batches(table, [record], None), empty)
