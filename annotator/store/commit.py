"""How a shard's rows become part of a run: all at once, once, whoever dies or races.

1. The tables are written, whole, under names that contain this attempt's id.
2. A commit record that names them is created as `commits/sNNNNNN.json` (`Storage.create`: a link in a folder,
   a conditional request in an object store). That never replaces a file, so of all attempts at a shard
   exactly one wins; the others remove their own files. A retry's rows are another generation, with a record
   of its own beside the old one, which counts no more from then on.

A file that no record names does not exist. Leftovers of attempts that died are removed by `leftovers.sweep`,
but only once those can win no more: until then an attempt that looks dead may still need them.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from annotator.errors import RunFailed
from annotator.store.durable import UnsettledError, write_failure
from annotator.store.parquet import parquet_bytes
from annotator.store.records import (
    CommitRecord,
    CorruptRecordError,
    FileEntry,
    read_record,
    record_name,
)
from annotator.store.recovery import set_aside_damaged
from annotator.store.schema import SCHEMAS, parse_metadata
from annotator.store.storage import storage_at


@dataclass(frozen=True, slots=True)
class CommitOutcome:
    """What came of an attempt.

    Attributes:
        won: this attempt's rows are the shard's; otherwise somebody else's are, and its own are gone.
        record: the commit record that stands, the winner's.
    """

    won: bool
    record: CommitRecord


class ShardWriter:
    """Commits one shard of a run. Use one for one attempt.

    Args:
        run_dir: the run folder or its URL; its `images`, `instances`, `commits` are made where missing.
        shard: number of the shard.
        generation: of the rows; they replace those of all earlier generations.
    """

    def __init__(self, run_dir: str | Path, shard: int, generation: int = 0) -> None:
        self._storage = storage_at(run_dir)
        self._shard = shard
        self._generation = generation
        self._attempt = uuid.uuid4().hex[:16]

    def commit(
        self,
        images: pa.Table,
        instances: pa.Table,
        stats: dict[str, Any] | Callable[[], dict[str, Any]],
        tracks: pa.Table | None = None,
        may_be_empty: bool = False,
    ) -> CommitOutcome:
        """Make these rows the shard's, unless it has been committed already.

        Args:
            images: one row an item of the shard, schema `IMAGES` with `pose` metadata (`RowBuilder.tables`).
            instances: schema `INSTANCES`, likewise.
            stats: figures of the work, JSON-able, kept in the record as they are; or what gives them once the
                tables are written.
            tracks: schema `TRACKS`, likewise: those that begin in this shard. None: nobody was followed yet.
            may_be_empty: all inputs of the shard were forgotten; else a shard without rows is refused.

        Raises:
            ValueError: the tables are not of the contract, or hold another shard's rows.
            RunFailed: the disk is full, read-only or failing; no half-written file stays.
        """
        tables = {"images": images, "instances": instances}
        if tracks is not None:
            tables["tracks"] = tracks
        _check(tables, self._shard, may_be_empty)
        names = {name: f"{name}/{self._stem}.parquet" for name in tables}
        try:
            standing = self._standing()
            if standing is not None:
                return CommitOutcome(False, standing)
            winner = self._try(tables, names, stats)
        except BaseException as error:
            # A record that may appear yet needs its files.
            if not isinstance(error, UnsettledError):
                self._clear_up(names)
            if isinstance(error, OSError):
                raise write_failure(error, error.filename or self._storage.place) from error
            raise
        if winner.attempt != self._attempt:
            self._clear_up(names)
        return CommitOutcome(winner.attempt == self._attempt, winner)

    @property
    def _stem(self) -> str:
        generation = f"-g{self._generation:03d}" if self._generation else ""
        return f"s{self._shard:06d}{generation}-{self._attempt}"

    def _try(
        self,
        tables: dict[str, pa.Table],
        names: dict[str, str],
        stats: dict[str, Any] | Callable[[], dict[str, Any]],
    ) -> CommitRecord:
        """Write the tables and publish their record; returns the winner's."""
        try:
            entries = {name: self._write(table, names[name]) for name, table in tables.items()}
            figures = stats() if callable(stats) else stats
            images = tables["images"]
            return self._publish(
                _record(self._shard, self._generation, self._attempt, entries, images, figures)
            )
        except FileNotFoundError:
            # A file was swept away before it was in place, by somebody who saw the shard committed.
            standing = self._standing()
            if standing is None:
                raise
            return standing

    def _write(self, table: pa.Table, name: str) -> FileEntry:
        data = parquet_bytes(table)
        self._storage.add(name, data)
        return FileEntry(
            name=name,
            rows=table.num_rows,
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )

    def _publish(self, record: CommitRecord) -> CommitRecord:
        """Create the record, or find the one that stands; returns the winner's."""
        name = record_name(self._shard, self._generation)
        while not self._storage.create(name, record.to_json()):
            standing = self._standing()
            if standing is not None:
                return standing
        return record

    def _standing(self) -> CommitRecord | None:
        """The latest record from this generation on, if one stands; damaged ones after it are put aside.

        Those before it stay, so that no attempt finds their places free.
        """
        latest, damaged = None, []
        for generation in itertools.count(self._generation):
            try:
                latest, damaged = read_record(self._storage, self._shard, generation), []
            except CorruptRecordError:
                damaged.append(generation)
            except FileNotFoundError:
                break
        for generation in damaged:
            set_aside_damaged(self._storage, self._shard, generation)
        return latest

    def _clear_up(self, names: dict[str, str]) -> None:
        """Remove this attempt's files, unless its record stands or that cannot be told."""
        try:
            standing = read_record(self._storage, self._shard, self._generation)
        except FileNotFoundError:
            standing = None
        except (OSError, CorruptRecordError):
            return
        if standing is not None and standing.attempt == self._attempt:
            return
        for name in names.values():
            with contextlib.suppress(OSError):
                self._storage.remove(name)


def _check(tables: dict[str, pa.Table], shard: int, may_be_empty: bool) -> None:
    for name, table in tables.items():
        if not table.schema.equals(SCHEMAS[name], check_metadata=False):
            raise ValueError(f"shard {shard}: the {name} table is not of the contract:\n{table.schema}")
        try:
            parse_metadata(table.schema, f"the {name} table")
        except RunFailed as error:
            raise ValueError(f"shard {shard}: {error}") from None
    images = tables["images"]
    if not images.num_rows and may_be_empty:
        return
    if not images.num_rows:
        raise ValueError(f"shard {shard} has no images: every item has a row, so this would lose all of them")
    shards = sorted(set(images["shard"].to_pylist()))
    if shards != [shard]:
        raise ValueError(f"shard {shard}: its images table holds rows of shards {shards}")


def _record(
    shard: int,
    generation: int,
    attempt: str,
    entries: dict[str, FileEntry],
    images: pa.Table,
    stats: dict[str, Any],
) -> CommitRecord:
    status = Counter(images["status"].to_pylist())
    columns = (images[name].to_pylist() for name in ("status", "error_stage", "error_kind"))
    kinds = Counter(
        f"{stage}/{kind}" for state, stage, kind in zip(*columns, strict=True) if state == "error"
    )
    return CommitRecord(
        shard=shard,
        generation=generation,
        attempt=attempt,
        files=entries,
        counts={name: status.get(name, 0) for name in ("ok", "empty", "error")},
        people=entries["instances"].rows,
        errors=dict(sorted(kinds.items())),
        stats=stats,
        committed_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )
