"""How a shard's rows become part of a run: all at once, once, whoever dies or races.

1. The tables are written under hidden names, synced, and renamed to names that contain this attempt's id.
2. A commit record that names them is written under a hidden name, synced, and linked to
   `commits/sNNNNNN.json`. A link never replaces a file, so of all attempts at a shard exactly one wins; the
   others remove their own files. A retry's rows are another generation, with a record of its own beside the
   old one, which counts no more from then on.

A file that no record names does not exist. Leftovers of attempts that died are removed by `sweep`, but only
once their shard is committed: until then an attempt that looks dead may still win and need them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import itertools
import os
import re
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from annotator.errors import RunFailed
from annotator.store.durable import remove, sync_folder, write_failure, write_new
from annotator.store.records import (
    CommitRecord,
    CorruptRecordError,
    FileEntry,
    committed_shards,
    read_record,
    record_path,
)
from annotator.store.recovery import set_aside_damaged
from annotator.store.schema import SCHEMAS, parse_metadata

ROW_GROUP_ROWS = 65_536
TABLES = ("images", "instances")
# Every folder that a commit may write to; tracks are there once the people of a film are followed.
FOLDERS = (*TABLES, "tracks", "commits")

_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)

# Everything a commit may leave in a run's folders, hidden or not.
OWN_FILE = re.compile(
    r"^\.?s(?P<shard>\d{6,})(-g(?P<generation>\d{3,}))?-(?P<attempt>[0-9a-f]{16})\.(parquet|json|corrupt)(\.tmp)?$"
)


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
        run_dir: the run folder; its `images`, `instances` and `commits` folders are made where missing.
        shard: number of the shard.
        generation: of the rows; they replace those of all earlier generations.
    """

    def __init__(self, run_dir: str | Path, shard: int, generation: int = 0) -> None:
        self._run_dir = Path(run_dir)
        self._shard = shard
        self._generation = generation
        self._attempt = uuid.uuid4().hex[:16]

    def commit(
        self,
        images: pa.Table,
        instances: pa.Table,
        stats: dict[str, Any],
        tracks: pa.Table | None = None,
    ) -> CommitOutcome:
        """Make these rows the shard's, unless it has been committed already.

        Args:
            images: one row an item of the shard, schema `IMAGES` with `pose` metadata (`RowBuilder.tables`).
            instances: schema `INSTANCES`, likewise.
            stats: figures of the work, JSON-able, kept in the record as they are.
            tracks: schema `TRACKS`, likewise: those that begin in this shard. None: nobody was followed yet.

        Raises:
            ValueError: the tables are not of the contract, or hold another shard's rows.
            RunFailed: the disk is full, read-only or failing; no half-written file stays.
        """
        tables = {"images": images, "instances": instances}
        if tracks is not None:
            tables["tracks"] = tracks
        _check(tables, self._shard)
        final = {name: self._run_dir / name / f"{self._stem}.parquet" for name in tables}
        try:
            make_folders(self._run_dir, *tables)
            standing = self._standing()
            if standing is not None:
                return CommitOutcome(False, standing)
            entries = {name: self._write(table, final[name]) for name, table in tables.items()}
            record = _record(self._shard, self._generation, self._attempt, entries, images, stats)
            winner = self._publish(record)
        except BaseException as error:
            self._clear_up(final)
            if isinstance(error, OSError):
                raise write_failure(error, error.filename or self._run_dir) from error
            raise
        if winner.attempt != self._attempt:
            self._clear_up(final)
        return CommitOutcome(winner.attempt == self._attempt, winner)

    @property
    def _stem(self) -> str:
        generation = f"-g{self._generation:03d}" if self._generation else ""
        return f"s{self._shard:06d}{generation}-{self._attempt}"

    def _write(self, table: pa.Table, path: Path) -> FileEntry:
        buffer = io.BytesIO()
        pq.write_table(
            table, buffer, compression="zstd", row_group_size=ROW_GROUP_ROWS, write_page_checksum=True
        )
        data = buffer.getbuffer()
        aside = path.with_name(f".{path.name}.tmp")
        with _named(path):
            write_new(aside, data)
            aside.rename(path)
            sync_folder(path.parent)
        return FileEntry(
            name=f"{path.parent.name}/{path.name}",
            rows=table.num_rows,
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )

    def _publish(self, record: CommitRecord) -> CommitRecord:
        """Link the record into place, or find the one that stands; returns the winner's."""
        target = record_path(self._run_dir, self._shard, self._generation)
        aside = target.with_name(f".{self._stem}.json.tmp")
        with _named(target):
            write_new(aside, record.to_json())
            try:
                while True:
                    # An error of `link` need not mean that it did not happen (a network file system that lost
                    # the reply), so the record itself is asked who won.
                    failure: OSError | None = None
                    try:
                        os.link(aside, target)
                    except OSError as error:
                        failure = error
                    standing = record if failure is None else self._standing()
                    if standing is not None:
                        break
                    if failure is not None and failure.errno in _NO_LINKS:
                        raise RunFailed(
                            f"the file system of {self._run_dir} has no hard links, without which two "
                            "writers of a shard cannot be told apart. Choose a run folder on another one"
                        ) from failure
                    if failure is not None and not isinstance(failure, FileExistsError):
                        raise failure
            finally:
                remove(aside)
            sync_folder(target.parent)
        return standing

    def _standing(self) -> CommitRecord | None:
        """The record of this generation or a later one, if one stands; a damaged one is put aside."""
        latest = None
        for generation in itertools.count(self._generation):
            try:
                latest = read_record(record_path(self._run_dir, self._shard, generation), self._shard)
            except FileNotFoundError:
                return latest
            except CorruptRecordError:
                set_aside_damaged(self._run_dir, self._shard, generation)
                return latest

    def _clear_up(self, final: dict[str, Path]) -> None:
        """Remove this attempt's files, unless its record stands or that cannot be told."""
        target = record_path(self._run_dir, self._shard, self._generation)
        remove(target.with_name(f".{self._stem}.json.tmp"))
        try:
            standing = read_record(target, self._shard)
        except FileNotFoundError:
            standing = None
        except (OSError, CorruptRecordError):
            return
        if standing is not None and standing.attempt == self._attempt:
            return
        for path in final.values():
            remove(path.with_name(f".{path.name}.tmp"))
            remove(path)


def make_folders(run_dir: Path, *tables: str) -> None:
    """The folders that a commit of `tables` writes to, durable themselves."""
    wanted = dict.fromkeys((*TABLES, *tables, "commits"))
    missing = [folder for folder in wanted if not (run_dir / folder).is_dir()]
    for folder in missing:
        (run_dir / folder).mkdir(parents=True, exist_ok=True)
    if missing:
        sync_folder(run_dir)


def sweep(run_dir: str | Path) -> list[str]:
    """Remove what dead and beaten attempts at committed shards left behind, and superseded rows.

    Safe beside any worker: files of shards, and of generations, that are not committed yet stay, and so does
    anything that this module did not name (`verify` reports it).

    Returns the removed files, relative to the run folder.
    """
    run_dir = Path(run_dir)
    committed = committed_shards(run_dir)
    removed = []
    for folder in FOLDERS:
        if not (run_dir / folder).is_dir():
            continue
        with os.scandir(run_dir / folder) as entries:
            leftovers = [
                entry.name
                for entry in entries
                if (match := OWN_FILE.match(entry.name))
                and _left_over(entry.name, match, committed.get(int(match["shard"])))
            ]
        for name in leftovers:
            with contextlib.suppress(FileNotFoundError):
                (run_dir / folder / name).unlink()
                removed.append(f"{folder}/{name}")
    return sorted(removed)


def _left_over(name: str, match: re.Match[str], standing: tuple[int, str] | None) -> bool:
    """Whether a file of ours is of no more use, given the generation and attempt that stand for its shard."""
    if standing is None or int(match["generation"] or 0) > standing[0]:
        return False
    # A visible file of the attempt that won is no leftover.
    return name.startswith(".") or match["attempt"] != standing[1]


@contextlib.contextmanager
def _named(path: Path):
    """Give errors of calls on file descriptors the name of the file they were about."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise


def _check(tables: dict[str, pa.Table], shard: int) -> None:
    for name, table in tables.items():
        if not table.schema.equals(SCHEMAS[name], check_metadata=False):
            raise ValueError(f"shard {shard}: the {name} table is not of the contract:\n{table.schema}")
        try:
            parse_metadata(table.schema, f"the {name} table")
        except RunFailed as error:
            raise ValueError(f"shard {shard}: {error}") from None
    images = tables["images"]
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
