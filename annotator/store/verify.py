"""Proof, from the files alone, that each planned input has exactly one row and each person an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from annotator.errors import RunFailed, UserError
from annotator.store import run_info
from annotator.store.leftovers import OWN_FILE, is_over
from annotator.store.plan import read_plan
from annotator.store.records import (
    FOLDERS,
    CorruptRecordError,
    generations,
    iter_records,
    record_name,
)
from annotator.store.recovery import lost_attempts
from annotator.store.storage import Storage, storage_at
from annotator.store.verify_forgotten import check_forgotten
from annotator.store.verify_plan import PlannedRows
from annotator.store.verify_report import STRAY, Report
from annotator.store.verify_shard import check_shard
from annotator.store.verify_tracks import TrackLedger

_ONE_OF_BOTH = "put the right one of both in its place"


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
    plan = PlannedRows.read(storage, info, report)
    report.planned, report.shards = len(plan.index), plan.shards
    rows_of = np.zeros(report.planned, np.uint8)
    ledger = TrackLedger(bool(info and info.config.get("track")))
    named: set[str] = set()
    damaged: set[int] = set()
    known = generations(run_dir)
    for shard, record in iter_records(run_dir):
        numbers = known.get(shard, [0])
        where = record_name(shard, numbers[-1])
        named.update(record_name(shard, generation) for generation in (0, *numbers))
        if isinstance(record, CorruptRecordError):
            report.add("corrupt-commit", where, f"damaged ({record}); run again to make the shard anew")
            damaged.add(shard)
            continue
        named.update(entry.name for entry in record.files.values())
        if shard >= plan.shards:
            report.add("foreign", where, f"the plan has {plan.shards} shards; this is number {shard}")
            continue
        report.shards_done += 1
        before = report.damages
        check_shard(storage, record, plan, info, rows_of, ledger, report)
        if report.damages > before:
            damaged.add(shard)
    report.missing = int((rows_of == 0).sum())
    report.doubled = int((rows_of > 1).sum())
    _name_missing(plan, rows_of, report)
    ledger.close(report)
    _check_strays(storage, named, known, damaged, report)
    check_forgotten(run_dir, info, report)
    return report


def _check_run_info(run_dir: str | Path, report: Report) -> run_info.RunInfo | None:
    """Check run.json and that it is about this plan; returns what it says."""
    try:
        info = run_info.read(run_dir)
    except RunFailed as error:
        report.add("unreadable", run_info.FILE_NAME, str(error))
        return None
    try:
        info.run_config  # noqa: B018
    except RunFailed as error:
        report.add("settings", run_info.FILE_NAME, str(error))
    plan = read_plan(run_dir)
    if plan.sha256 != info.plan_sha256:
        report.add("plan", "plan", f"it is not the plan that run.json names (sha256 differs); {_ONE_OF_BOTH}")
    if len(plan.shards) != info.shards:
        message = f"it has {len(plan.shards)} shards; run.json says {info.shards}; {_ONE_OF_BOTH}"
        report.add("plan", "plan", message)
    try:
        plan.prove()
    except UserError as error:
        report.add("plan", "plan", str(error))
    return info


def _name_missing(plan: PlannedRows, rows_of: np.ndarray, report: Report) -> None:
    for shard in range(plan.shards):
        part = rows_of[plan.rows(shard)]
        lacking = plan.index[plan.rows(shard)][part == 0]
        if len(lacking):
            report.add(
                "missing",
                f"shard {shard}",
                f"{len(lacking)} of its {len(part)} items have no row, item {lacking[0]} first; run again",
            )


def _check_strays(
    storage: Storage, named: set[str], known: dict[int, list[int]], damaged: set[int], report: Report
) -> None:
    """Files in the folders of a run that no commit record names."""
    lists = {folder: sorted(storage.names(folder)) for folder in FOLDERS}
    lost = lost_attempts(storage, [f"commits/{file}" for file in lists["commits"]])
    for folder, files in lists.items():
        for file in files:
            name = f"{folder}/{file}"
            if name in named:
                continue
            match = OWN_FILE.match(file)
            if match is None or int(match["shard"]) >= report.shards:
                report.add("stray", name, STRAY)
                continue
            shard = int(match["shard"])
            report.leftovers += 1
            # `SELECT * FROM 'images/*.parquet'` would count one with a visible name, beside those that stand.
            standing = known.get(shard)
            if file.startswith(".") or standing is None:
                continue
            if shard in damaged:
                report.kept += 1
                what = (
                    "these may be the last good rows: leave them until the shard is whole (annotator retry)"
                )
            elif is_over(match, standing[-1], lost):
                what = "rows of an attempt that did not win; run again, and it is swept away"
            else:
                what = (
                    "rows of an attempt that is at work, or died; if no driver is at work (annotator "
                    "status), retry again, which makes its shard anew, or remove the file, or run again two "
                    "hours after it was written"
                )
            report.add("leftover", name, what)
