"""A run as its readers see it: the rows of committed shards, in plan order, a shard at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from annotator.errors import RunFailed, UserError
from annotator.skeletons import Skeleton
from annotator.store import run_info
from annotator.store.parquet import open_parquet, proven_rows
from annotator.store.plan import Plan, read_plan
from annotator.store.records import (
    CommitRecord,
    CorruptRecordError,
    generations,
    iter_records,
    standing_record,
)
from annotator.store.schema import SCHEMAS, completed, parse_metadata
from annotator.store.storage import storage_at


class Run:
    """A run folder, finished or not, on this machine or in an object store. Reads; never writes.

    Attributes:
        place: the run folder as it was named, or its URL.
        storage: its files, wherever they are.
        info: what stands in run.json.
        accepted: of a run as reviewed (`ReviewedRun`), ids of those whose keypoints are taken; None: all are.

    Raises:
        UserError: the folder is not a run.
    """

    accepted: frozenset[int] | None = None

    def __init__(self, run_dir: str | Path) -> None:
        self.place = str(run_dir)
        self.storage = storage_at(run_dir)
        self.info = run_info.read(run_dir)
        # Those of one moment, in a `Snapshot` and in whatever reads through one; None: as they stand now.
        self._records: dict[int, CommitRecord] | None = None

    @cached_property
    def plan(self) -> Plan:
        """The frozen plan."""
        return read_plan(self.place)

    @property
    def path(self) -> Path:
        """The run folder.

        Raises:
            UserError: it is not on this machine; `storage` reaches it.
        """
        if self.storage.remote:
            raise UserError(f"{self.place} is in an object store; this needs a run folder on this machine")
        return Path(self.place)

    def committed(self) -> dict[int, CommitRecord]:
        """Records of the shards committed so far, by ascending shard; read anew at each call.

        What reads a run more than once reads a `Snapshot`, so that a run that goes on stays of one piece.

        Raises:
            RunFailed: a record is damaged.
        """
        if self._records is not None:
            return self._records
        records = {}
        for shard, record in iter_records(self.place):
            if isinstance(record, CorruptRecordError):
                raise self._damaged_record(shard, record)
            records[shard] = record
        return records

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The `pose` metadata of the instances: skeleton, visibility policy, models.

        Raises:
            UserError: nothing was committed yet.
        """
        for record in self.committed().values():
            with self._open(record, "instances") as file:
                return parse_metadata(file.schema_arrow, record.files["instances"].name)
        raise UserError(f"{self.place}: nothing was committed yet; `annotator run` goes on with it")

    @property
    def skeleton(self) -> Skeleton:
        """The joints of every keypoints list."""
        return Skeleton.from_dict(self.metadata["skeleton"])

    def images(
        self, columns: Sequence[str] | None = None, only_errors: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """The images table: committed shards only, in plan order, one batch a shard.

        Args:
            columns: names of the columns wanted; None for all.
            only_errors: leave out shards whose record counts no error row; the others come whole.

        Raises:
            RunFailed: a data file is missing or damaged, or was replaced since the reading began.
        """
        records = [record for record in self.committed().values() if record.errors or not only_errors]
        return self._batches("images", records, columns)

    def instances(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The instances table, as `images`; people of an image are neighbours in one batch."""
        return self._batches("instances", self.committed().values(), columns)

    def rows(self, table: str, shard: int, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of one committed shard: `images` or `instances`, in plan order.

        Raises:
            FileNotFoundError: the shard is not committed.
            KeyError: it is not of the snapshot that this is.
            RunFailed: its record is damaged, or as `rows_of`.
        """
        return self.rows_of(self._record(shard), table, columns)

    def rows_of(self, record: CommitRecord, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a shard as a record names them: `images`, `instances` or, where it has them, `tracks`.

        Raises:
            RunFailed: the data file is missing or damaged, or was replaced since the record was read.
        """
        wanted = list(columns) if columns is not None else None
        with self._open(record, table) as file:
            rows = file.read(columns=wanted)
        # Files of an earlier version lack columns, and Parquet keeps no order of those asked for.
        return _with_columns(rows, table, wanted)

    def proven_rows_of(self, record: CommitRecord, table: str) -> pa.Table:
        """As `rows_of`, with all columns and once its content is proved: for who makes new rows of them.

        Raises:
            RunFailed: as `rows_of`, and where its content is not what was committed.
        """
        entry = record.files[table]
        try:
            return completed(proven_rows(self.storage, entry), table)
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(record, entry.name, error) from error

    @cached_property
    def _generations(self) -> dict[int, list[int]]:
        """Those of the moment when rows of a single shard were first asked for."""
        return generations(self.place)

    def _record(self, shard: int) -> CommitRecord:
        if self._records is not None:
            return self._records[shard]
        try:
            return standing_record(self.place, shard, self._generations)
        except CorruptRecordError as error:
            raise self._damaged_record(shard, error) from None

    def _damaged_record(self, shard: int, error: CorruptRecordError) -> RunFailed:
        return RunFailed(
            f"{self.place}: the commit record of shard {shard} is damaged ({error}); "
            f"`annotator retry {self.place}` makes that shard anew"
        )

    def _batches(
        self, table: str, records: Iterable[CommitRecord], columns: Sequence[str] | None
    ) -> Iterator[pa.RecordBatch]:
        for record in records:
            yield from self.rows_of(record, table, columns).combine_chunks().to_batches()

    @contextmanager
    def _open(self, record: CommitRecord, table: str) -> Iterator[pq.ParquetFile]:
        entry = record.files[table]
        name = entry.name
        try:
            # Another file in its place may be whole, and its rows fit those of the other tables nowhere.
            with open_parquet(self.storage, name, entry.bytes) as file:
                if parse_metadata(file.schema_arrow, name).get("table") != table:
                    raise pa.ArrowInvalid(f"it is no {table} table")
                yield file
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(record, name, error) from error

    def _unreadable(self, record: CommitRecord, name: str, error: Exception) -> RunFailed:
        # Rows that others have replaced are swept away, which is no damage.
        with suppress(CorruptRecordError, OSError):
            if standing_record(self.place, record.shard).attempt != record.attempt:
                return RunFailed(
                    f"{self.place}: the rows of shard {record.shard} were replaced since this began (a run "
                    "that ends, `annotator retry` and `annotator forget` do that); run this again"
                )
        return RunFailed(
            f"{self.place}/{name} is missing or damaged ({error}); "
            "`annotator verify` names everything that is wrong"
        )


def _with_columns(rows: pa.Table, table: str, wanted: list[str] | None) -> pa.Table:
    if wanted is None:
        return completed(rows, table)
    for name in wanted:
        if name not in rows.column_names and name in SCHEMAS[table].names:
            field = SCHEMAS[table].field(name)
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows.select(wanted)
