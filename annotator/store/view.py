"""A run read through another one: the same files and records, rows changed on their way to the reader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import pyarrow as pa

from annotator.store.plan import Plan
from annotator.store.reader import Run
from annotator.store.records import CommitRecord


class View(Run):
    """A base for runs that give the rows of another one with some left out or corrected.

    It is about `images` and `instances`; `rows` and `rows_of` give what is stored.

    Args:
        run: the other one, which may be a view too.
        needs: columns that `_changed` needs, by table; readers may ask for others.
    """

    def __init__(self, run: Run, **needs: Sequence[str]) -> None:
        # All that `Run` would read anew.
        self.place, self.storage, self.info, self.accepted = run.place, run.storage, run.info, run.accepted
        self._records = run._records
        self._run, self._needs = run, needs

    @cached_property
    def plan(self) -> Plan:
        """The frozen plan."""
        return self._run.plan

    def _changed(self, table: str, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What becomes of a batch of `images` or `instances`."""
        return batch

    def _batches(
        self, table: str, records: Iterable[CommitRecord], columns: Sequence[str] | None
    ) -> Iterator[pa.RecordBatch]:
        wanted = None if columns is None else list(dict.fromkeys([*columns, *self._needs.get(table, ())]))
        for batch in self._run._batches(table, records, wanted):
            batch = self._changed(table, batch)
            yield batch if columns is None else batch.select(list(columns))
