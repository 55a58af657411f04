"""The part of the proof that is about what was forgotten: nothing of it is left in any layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from annotator.store import run_info
from annotator.store.parquet import open_parquet
from annotator.store.person_ids import items_of
from annotator.store.records import FOLDERS
from annotator.store.review_folder import copies_of
from annotator.store.storage import storage_at

if TYPE_CHECKING:
    from annotator.store.verify_report import Report


def check_forgotten(run_dir: str | Path, info: run_info.RunInfo | None, report: Report) -> None:
    """Rows were checked against the plan, from which the items are gone; here are the other layers."""
    storage = storage_at(run_dir)
    if run_info.is_forgetting(run_dir):
        message = "forgetting is not finished; `annotator forget` goes on"
        report.add("forgetting", run_info.FORGETTING, message)
    if info is None or not info.forgotten:
        return
    gone = info.forgotten.indices()
    report.forgotten = len(gone)
    for path in [] if storage.remote else copies_of(run_dir, info, gone.tolist()):
        message = "a copy of a forgotten picture, or of one that nobody can tell; delete it"
        report.add("remains", str(path), message)
    if report.kept:
        message = (
            f"{report.kept} leftover files may hold forgotten rows and are the last of damaged shards; make "
            "these whole (annotator retry), then forget again"
        )
        report.add("remains", ", ".join(FOLDERS), message)
    if removable := report.leftovers - report.kept:
        message = (
            f"{removable} leftover files may hold forgotten rows; if no driver is at work (annotator "
            "status), remove those named as leftover, but for those that are kept, and in these folders all "
            "whose names begin with a dot"
        )
        report.add("remains", ", ".join(FOLDERS), message)
    for name in storage.names("reviews"):
        if name.endswith(".parquet"):
            try:
                with open_parquet(storage, f"reviews/{name}") as file:
                    people = file.read(columns=["instance_id"])["instance_id"].to_numpy()
            except (pa.ArrowException, OSError, KeyError) as error:
                message = f"cannot be read, so reviews of forgotten items may be in it ({error})"
                report.add("unreadable", f"reviews/{name}", message)
                continue
            count = int(np.isin(items_of(people), gone).sum())
            if count:
                report.add("remains", f"reviews/{name}", f"{count} reviews of people of forgotten items")
