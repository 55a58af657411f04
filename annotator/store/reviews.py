"""Layers of reviews: what was said of people, one file a pull, merged by time when they are read."""

from __future__ import annotations

import datetime
import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from annotator.errors import RunFailed, UserError
from annotator.skeletons import Skeleton
from annotator.store.durable import replace_file, write_failure
from annotator.store.parquet import open_parquet
from annotator.store.reader import Run
from annotator.store.schema import SCHEMAS, Provenance, metadata, parse_metadata

FOLDER = "reviews"

# What a reviewer decides about somebody.
ACCEPTED, REJECTED, SENT_BACK = "accepted", "rejected", "sent back"

# Flags of what was dragged; the others are of the prediction that people saw.
_OF_CORRECTION = {"broken", "outside", "deleted"}
# Columns that earlier layers lack.
_SINCE_1_2 = {"bbox", "added_by", "added_at"}
# Flags of somebody with joints that nobody has seen.
_UNSEEN = {"broken", "stale"}


@dataclass(frozen=True, slots=True)
class Review:
    """What is known of one person: a row of a layer, or several merged. See `schemas/pose/v1/arrow.json`.

    Attributes:
        instance_id, image_id: as in the run.
        decision, reason, reviewer, time: the decision; `time` is ISO 8601 in UTC: text sorts by time.
        keypoints: [x, y, v] x K in pixels, or None; with corrected_by, corrected_at, moved_joints, moved_by.
        flags: "broken", "stale", "gone", "outside", "deleted".
        bbox: [x, y, w, h] in pixels of somebody whom a reviewer added; with added_by, added_at.
    """

    instance_id: int
    image_id: int
    decision: str | None = None
    reason: str | None = None
    reviewer: str | None = None
    time: str | None = None
    keypoints: tuple[float, ...] | None = None
    corrected_by: str | None = None
    corrected_at: str | None = None
    moved_joints: tuple[int, ...] | None = None
    moved_by: tuple[float, ...] | None = None
    flags: tuple[str, ...] = ()
    bbox: tuple[float, ...] | None = None
    added_by: str | None = None
    added_at: str | None = None

    @property
    def deleted(self) -> bool:
        """Whether it is of an added person who was taken back."""
        return "deleted" in self.flags

    @property
    def says_something(self) -> bool:
        """Whether anybody decided, withdrew, or corrected."""
        return bool(self.latest)

    @property
    def latest(self) -> str:
        """When somebody decided, withdrew, or corrected last; empty if nobody did."""
        return max(self.time or "", self.corrected_at or "")

    @property
    def holds(self) -> bool:
        """Whether it is about the joints as they are now: read back whole, and seen by whoever judged."""
        return not _UNSEEN.intersection(self.flags)

    @property
    def accepted(self) -> bool:
        """Whether somebody accepted the joints as they are now."""
        return self.decision == ACCEPTED and self.holds


def merge(rows: Iterable[Review]) -> dict[int, Review]:
    """One review a person: the latest decision and the latest correction, whichever layers they are from.

    Args:
        rows: in the order of their layers. Of equal times the later layer counts: it knows more.
    """
    of_person: dict[int, list[Review]] = defaultdict(list)
    for row in rows:
        of_person[row.instance_id].append(row)
    return {person: _merged(those) for person, those in of_person.items()}


def _merged(rows: list[Review]) -> Review:
    decided = max(reversed(rows), key=lambda row: row.time or "")
    corrected = max(reversed(rows), key=lambda row: row.corrected_at or "")
    # Any pull may have found that the prediction is another one; whoever judged later has seen that one.
    latest = max(row.latest for row in rows)
    flags = {flag for row in rows if row.latest == latest for flag in row.flags} - _OF_CORRECTION
    flags |= _OF_CORRECTION.intersection(corrected.flags)
    return Review(
        decided.instance_id,
        decided.image_id,
        decided.decision,
        decided.reason,
        decided.reviewer,
        decided.time,
        corrected.keypoints,
        corrected.corrected_by,
        corrected.corrected_at,
        corrected.moved_joints,
        corrected.moved_by,
        tuple(sorted(flags)),
        corrected.bbox,
        decided.added_by,
        decided.added_at,
    )


def read(run: Run) -> dict[int, Review]:
    """All layers of a run, merged, without added people who were taken back; empty if nothing was pulled yet.

    Raises:
        RunFailed: a layer is damaged.
    """
    return standing(merge(row for name in layers(run) for row in read_layer(run, name)))


def standing(merged: dict[int, Review]) -> dict[int, Review]:
    """Merged reviews without those of added people who were taken back."""
    return {person: review for person, review in merged.items() if not review.deleted}


def read_added(run: Run) -> dict[int, Review]:
    """All that layers say of people whom reviewers added, merged, also of those who were taken back.

    Raises:
        RunFailed: a layer is damaged.
    """
    return merge(row for name in layers(run) for row in read_layer(run, name, added_only=True))


def layers(run: Run) -> list[str]:
    """Names of the layers' files, relative to the run folder, in the order of their pulls."""
    names = run.storage.names(FOLDER)
    return sorted(
        f"{FOLDER}/{name}" for name in names if name.endswith(".parquet") and not name.startswith(".")
    )


def read_layer(run: Run, name: str, added_only: bool = False) -> list[Review]:
    """The rows of one layer, of any version 1.x.

    Args:
        name: as `layers` gives it.
        added_only: those of people whom reviewers added.

    Raises:
        RunFailed: missing, damaged, or of another major version.
    """
    place = f"{run.place}/{name}"
    try:
        with open_parquet(run.storage, name) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise RunFailed(
            f"the review layer {place} is missing or damaged ({error}); put a copy of it in its place or, "
            "without one, move it away: the next `annotator review pull` brings back what its database knows"
        ) from error
    parse_metadata(table.schema, place)
    names = [field.name for field in fields(Review) if field.name in table.column_names]
    if {field.name for field in SCHEMAS["reviews"]} - set(names) - _SINCE_1_2:
        raise RunFailed(f"{place} is not a layer of reviews: it lacks columns")
    if added_only:
        added = "added_at" in names
        table = table.filter(table["added_at"].is_valid()) if added else table.slice(0, 0)
    rows = []
    for values in table.select(names).to_pylist():
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        rows.append(Review(**values | lists))
    return rows


def write_layer(run: Run, rows: list[Review]) -> Path:
    """Write one layer, in one step; its name begins with the time, so that layers sort by it.

    Raises:
        UserError, RunFailed: it cannot be written.
    """
    table = layer_table(rows, run.skeleton, run.metadata["visibility"], run.info.provenance)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    data = sink.getvalue().to_pybytes()
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S%f")
    path = run.path / FOLDER / f"{moment}-{hashlib.sha256(data).hexdigest()[:8]}.parquet"
    try:
        path.parent.mkdir(exist_ok=True)
        replace_file(path, data)
    except PermissionError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    except OSError as error:
        raise write_failure(error, path) from error
    return path


def layer_table(
    rows: list[Review], skeleton: Skeleton, visibility: dict[str, Any], provenance: Provenance
) -> pa.Table:
    """Rows as a layer has them, with what the metadata of `schema.metadata` needs."""
    rows = sorted(rows, key=lambda row: row.instance_id)
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMAS["reviews"])
    about = metadata("reviews", skeleton=skeleton, visibility=visibility, provenance=provenance)
    return table.replace_schema_metadata(about)


def as_float32(values: np.ndarray) -> tuple[float, ...]:
    """Numbers as a layer keeps them, so that what was written equals what is read."""
    return tuple(np.asarray(values, np.float32).ravel().tolist())
