"""Proof, from the files alone, that each planned input has exactly one row and each person an image."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from annotator.errors import RunFailed, UserError
from annotator.store import run_info
from annotator.store.commit import FOLDERS, OWN_FILE, TABLES
from annotator.store.parquet import open_parquet
from annotator.store.records import (
    CommitRecord,
    CorruptRecordError,
    generations,
    iter_records,
    record_name,
)
from annotator.store.schema import PERSON_BITS, follows, parse_metadata
from annotator.store.storage import Storage, storage_at
from annotator.store.verify_forgotten import check_forgotten
from annotator.store.verify_tracks import TrackLedger

# Examples kept of each kind of problem, so that a report of a broken run stays small.
EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        kind: a short stable name: missing, doubled, foreign, orphan, mismatch, stray, corrupt-commit ...
        where: file or shard.
        message: what is wrong, for a person.
    """

    kind: str
    where: str
    message: str


@dataclass(slots=True)
class Report:
    """What `verify` found.

    Attributes:
        planned: items in the plan. images, instances: rows seen in committed shards.
        missing: planned items without a row. doubled: items with more than one.
        shards, shards_done: planned and committed.
        counts: problems by kind, all of them.
        problems: the first `EXAMPLES` of each kind.
        forgotten: items that were taken out of the run: nothing of them is left, or a problem says what.
        leftovers: files of attempts that did not win; harmless, `sweep` removes those of committed shards.
    """

    planned: int = 0
    images: int = 0
    instances: int = 0
    missing: int = 0
    doubled: int = 0
    shards: int = 0
    shards_done: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    leftovers: int = 0
    forgotten: int = 0

    @property
    def ok(self) -> bool:
        """Every planned item has exactly one row, and nothing is wrong with any row or file."""
        return not self.counts

    def add(self, kind: str, where: str, message: str) -> None:
        """Record a problem."""
        self.counts[kind] += 1
        if self.counts[kind] <= EXAMPLES:
            self.problems.append(Problem(kind, where, message))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self) | {"ok": self.ok, "counts": dict(self.counts)}


def verify(run_dir: str | Path) -> Report:
    """Check a run folder, finished or not, against its plan, one shard in memory at a time.

    Memory: about 21 bytes an item of the plan, and the ids of one shard. An unfinished run is not ok: its
    missing items are named by shard.

    Raises:
        UserError: not a run folder, or one without a readable plan.
    """
    storage = storage_at(run_dir)
    report = Report()
    info = _check_run_info(run_dir, report)
    plan = _Plan.read(storage, info, report)
    report.planned, report.shards = len(plan.index), plan.shards
    rows_of = np.zeros(report.planned, np.uint8)
    ledger = TrackLedger(bool(info and info.config.get("track")))
    named: set[str] = set()
    known = generations(run_dir)
    for shard, record in iter_records(run_dir):
        numbers = known.get(shard, [0])
        where = record_name(shard, numbers[-1])
        named.update(record_name(shard, generation) for generation in (0, *numbers))
        if isinstance(record, CorruptRecordError):
            report.add("corrupt-commit", where, f"damaged ({record}); run again to make the shard anew")
            continue
        named.update(entry.name for entry in record.files.values())
        if shard >= plan.shards:
            report.add("foreign", where, f"the plan has {plan.shards} shards; this is number {shard}")
            continue
        report.shards_done += 1
        _check_shard(storage, record, plan, rows_of, ledger, report)
    report.missing = int((rows_of == 0).sum())
    report.doubled = int((rows_of > 1).sum())
    _name_missing(plan, rows_of, report)
    ledger.close(report)
    _check_strays(storage, named, known, report)
    check_forgotten(run_dir, info, report)
    return report


def _check_run_info(run_dir: str | Path, report: Report) -> run_info.RunInfo | None:
    """Check run.json and that it is about this plan; returns what it says."""
    from annotator.sources.plan import read_plan

    try:
        info = run_info.read(run_dir)
    except RunFailed as error:
        report.add("unreadable", run_info.FILE_NAME, str(error))
        return None
    known = info.forgotten.plan_sha256 if info.forgotten else info.provenance.plan_sha256
    if read_plan(run_dir).sha256 != known:
        report.add("plan", "plan", "it is not the plan that run.json names (sha256 differs)")
    return info


@dataclass(frozen=True, slots=True)
class _Plan:
    """The plan's columns, in the order of index: (N,) index int64, image_id int64, shard int32."""

    index: np.ndarray
    image_id: np.ndarray
    starts: np.ndarray  # row at which each shard starts, and the number of rows at the end

    @property
    def shards(self) -> int:
        return len(self.starts) - 1

    def rows(self, shard: int) -> slice:
        return slice(int(self.starts[shard]), int(self.starts[shard + 1]))

    @classmethod
    def read(cls, storage: Storage, info: run_info.RunInfo | None, report: Report) -> _Plan:
        files = sorted(name for name in storage.names("plan") if _is_plan(name))
        if not files:
            raise UserError(f"{storage.place} has no plan: nothing tells what its rows should be")
        try:
            tables = [_id_columns(storage, f"plan/{name}") for name in files]
        except (pa.ArrowException, OSError) as error:
            raise UserError(
                f"the plan of {storage.place} cannot be read, so nothing can be proved: {error}"
            ) from None
        columns = [
            np.concatenate([table[name].to_numpy() for table in tables])
            for name in ("index", "image_id", "shard")
        ]
        if not (np.diff(columns[0]) > 0).all():
            order = np.argsort(columns[0], kind="stable")
            columns = [column[order] for column in columns]
        index, image_id, shard = columns
        gone = info.forgotten.indices() if info and info.forgotten else np.zeros(0, np.int64)
        total = len(index) + len(gone)
        if not np.array_equal(np.sort(np.concatenate([index, gone])), np.arange(total)):
            those = f"its {len(index)} items" + (f" and the {len(gone)} forgotten ones" if len(gone) else "")
            report.add("plan", "plan", f"{those} are not numbered 0 to {total - 1} once each")
        if len(np.unique(image_id)) != len(image_id):
            report.add("plan", "plan", f"{len(image_id) - len(np.unique(image_id))} items share an image_id")
        if (np.diff(shard) < 0).any():
            report.add("plan", "plan", "the items of a shard are not neighbours")
        shards = int(shard.max()) + 1 if len(shard) else 0
        if len(gone) and info is not None:
            shards = max(shards, info.shards)  # the last ones may have lost all their items
        return cls(index, image_id, np.searchsorted(shard, np.arange(shards + 1)))


def _is_plan(name: str) -> bool:
    return name.endswith(".parquet") and not name.startswith(".")


def _id_columns(storage: Storage, name: str) -> pa.Table:
    columns = ["index", "image_id", "shard"]
    with open_parquet(storage, name) as file:
        return file.read(columns=columns)


def _check_shard(
    storage: Storage,
    record: CommitRecord,
    plan: _Plan,
    rows_of: np.ndarray,
    ledger: TrackLedger,
    report: Report,
) -> None:
    where = f"shard {record.shard}"
    if set(record.files) < set(TABLES):
        report.add("corrupt-commit", where, f"its commit record names no {' or '.join(TABLES)} file")
        return
    tables = {name: _read(storage, record, name, report) for name in TABLES}
    images, instances = tables["images"], tables["instances"]
    if images is None or not images.num_rows:
        return
    index, image_id = images["index"].to_numpy(), images["image_id"].to_numpy()
    expected = plan.rows(record.shard)
    report.images += len(index)

    wanted, ids = plan.index[expected], plan.image_id[expected]
    place = np.clip(np.searchsorted(wanted, index), 0, len(wanted) - 1)
    known = wanted[place] == index
    rows = np.bincount(place[known], minlength=len(wanted))
    rows_of[expected] = np.minimum(rows, 255)
    for stranger in index[~known]:
        report.add("foreign", where, f"its images hold item {stranger}, which the plan does not put there")
    for row in np.flatnonzero(rows > 1):
        report.add("doubled", where, f"item {wanted[row]} has {rows[row]} rows in images")
    for item in index[known & (ids[place] != image_id)]:
        report.add("mismatch", where, f"item {item} has another image_id than in the plan")
    if np.any(np.diff(index) <= 0):
        report.add("mismatch", where, "its images are not in the order of the plan")
    if (images["shard"].to_numpy() != record.shard).any():
        report.add("mismatch", where, "its images hold the number of another shard")
    if instances is not None:
        report.instances += instances.num_rows
        _check_instances(where, images, instances, report)
        tracks = _read(storage, record, "tracks", report) if "tracks" in record.files else None
        ledger.add(where, images, instances, tracks, report)


def _check_instances(where: str, images: pa.Table, instances: pa.Table, report: Report) -> None:
    image_id, people = images["image_id"].to_numpy(), images["num_instances"].to_numpy()
    owner, ids = instances["image_id"].to_numpy(), instances["id"].to_numpy()
    mine = np.isin(owner, image_id)
    for orphan in np.unique(owner[~mine]):
        report.add("orphan", where, f"instances of image {orphan}, which is not among the shard's images")
    order = np.argsort(image_id, kind="stable")
    place = order[np.clip(np.searchsorted(image_id[order], owner), 0, len(order) - 1)]
    found = np.bincount(place[mine], minlength=len(image_id))
    for row in np.flatnonzero(found != people):
        report.add("mismatch", where, f"image {image_id[row]} has {found[row]} instances, not {people[row]}")
    status = images["status"].to_numpy(zero_copy_only=False)
    for row in np.flatnonzero((status == "ok") != (people > 0)):
        report.add("mismatch", where, f"image {image_id[row]} is {status[row]!r} with {people[row]} people")
    for value in set(status) - {"ok", "empty", "error"}:
        report.add("mismatch", where, f"status {value!r} is none of ok, empty, error")
    twice, times = np.unique(ids, return_counts=True)
    for value in twice[times > 1]:
        report.add("doubled", where, f"instance {value} is there more than once")
    index, person = images["index"].to_numpy(), instances["person_index"].to_numpy()
    wrong = mine & (ids != (index[place] << PERSON_BITS | (person.astype(np.int64) + 1)))
    for value in ids[wrong]:
        report.add("mismatch", where, f"instance {value} does not bear the id of its image and person_index")


def _read(storage: Storage, record: CommitRecord, table: str, report: Report) -> pa.Table | None:
    """The id columns of a data file, once its bytes, schema, metadata and size are what the record says."""
    entry = record.files[table]
    needed = {
        "images": ["index", "image_id", "shard", "status", "num_instances", "frame_index"],
        "instances": ["id", "image_id", "person_index", "track_id"],
        "tracks": None,
    }[table]
    try:
        data = storage.read(entry.name)
        digest = hashlib.sha256(data).hexdigest()
        if digest != entry.sha256:
            report.add("damaged", entry.name, "its content is not what was committed (sha256 differs)")
        with pq.ParquetFile(pa.BufferReader(data)) as parquet:
            schema = parquet.schema_arrow
            if not follows(schema, table):
                report.add("damaged", entry.name, f"its columns are not those of the {table} table")
            if parse_metadata(schema, entry.name).get("table") != table:
                report.add("damaged", entry.name, f"its metadata is not of the {table} table")
            rows = parquet.read(columns=needed)
    except FileNotFoundError:
        report.add(
            "lost-file", entry.name, f"the commit record of shard {record.shard} names it; it is not there"
        )
        return None
    except (pa.ArrowException, OSError, KeyError, RunFailed) as error:
        report.add("unreadable", entry.name, str(error))
        return None
    if rows.num_rows != entry.rows:
        report.add("mismatch", entry.name, f"{rows.num_rows} rows; {entry.rows} were committed")
    return rows


def _name_missing(plan: _Plan, rows_of: np.ndarray, report: Report) -> None:
    for shard in range(plan.shards):
        part = rows_of[plan.rows(shard)]
        lacking = plan.index[plan.rows(shard)][part == 0]
        if len(lacking):
            report.add(
                "missing",
                f"shard {shard}",
                f"{len(lacking)} of its {len(part)} items have no row, item {lacking[0]} first; run again",
            )


def _check_strays(storage: Storage, named: set[str], known: dict[int, list[int]], report: Report) -> None:
    """Files in the folders of a run that no commit record names."""
    for folder in FOLDERS:
        for file in sorted(storage.names(folder)):
            name = f"{folder}/{file}"
            if name in named:
                continue
            match = OWN_FILE.match(file)
            if match is None:
                report.add(
                    "stray", name, "no part of this run; whoever reads the folder will take it for one"
                )
                continue
            report.leftovers += 1
            # Under a visible name `SELECT * FROM 'images/*.parquet'` would count it; while its generation of
            # the shard is not committed, though, it may be an attempt under way.
            standing = known.get(int(match["shard"]), [-1])[-1]
            if not file.startswith(".") and int(match["generation"] or 0) <= standing:
                report.add(
                    "leftover", name, "rows of an attempt that did not win; run again, and it is swept away"
                )
