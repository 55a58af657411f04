"""The plan of a run, made from what the user named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from annotator.errors import UserError
from annotator.sources.boxes import MatchedBoxes, match_boxes, read_boxes
from annotator.sources.inputs import list_inputs
from annotator.sources.listing import Listing
from annotator.sources.notes import Notes
from annotator.sources.sampling import Sampling
from annotator.sources.videos import FramedRows, frame_rows
from annotator.store.plan import Plan, hash_rows
from annotator.store.schema import PLAN
from annotator.uris import to_path


def build_plan(
    inputs: Sequence[str],
    *,
    image_root: str | None = None,
    boxes: str | None = None,
    shard_size: int,
    limit: int | None = None,
    sampling: Sampling | None = None,
) -> Plan:
    """Make the plan of a run from its INPUT arguments.

    Args:
        inputs: folders, globs, pictures, videos, .txt lists, COCO JSON, CSV / JSONL / Parquet manifests.
        image_root: folder that relative names in such files start from; default: where the file is.
        boxes: COCO file with person boxes to use instead of a detector.
        shard_size: items in a shard.
        limit: only the first pictures and frames.
        sampling: which frames of videos are wanted; default: all.

    Raises:
        UserError: something named does not exist, holds nothing or cannot be understood. A picture that a
            list names
            and that is missing is no such case: it stays in the plan and becomes an error row of the run.
    """
    notes = Notes()
    listing = list_inputs(inputs, image_root=image_root, limit=limit, notes=notes)
    if listing.duplicates:
        notes.say(f"{listing.duplicates:,} inputs were named more than once and are kept once")
    matched = None
    if boxes is not None:
        path = to_path(boxes, "--boxes")
        matched = match_boxes(listing, read_boxes(path, notes), notes)
    framed = frame_rows(listing, sampling or Sampling(), limit, notes)
    starts = None if framed is None else framed.starts(shard_size)
    if framed is not None and boxes is not None:
        raise UserError(
            f"--boxes names people in pictures: leave out the videos among the inputs ({framed.example})"
        )
    rows = _ListedRows(framed or listing, matched, shard_size, starts)
    return Plan(
        rows,
        shard_size=shard_size,
        sha256=hash_rows(rows, shard_size, starts),
        duplicates=listing.duplicates,
        notes=notes.lines(),
        starts=starts,
    )


class _ListedRows:
    """Rows of a plan that was just built."""

    def __init__(
        self,
        listing: Listing | FramedRows,
        boxes: MatchedBoxes | None,
        shard_size: int,
        starts: Sequence[int] | None,
    ) -> None:
        self._listing = listing
        self._boxes = boxes
        self._shard_size = shard_size
        self._starts = None if starts is None else np.array(starts)

    def __len__(self) -> int:
        return len(self._listing)

    def table(self, start: int, stop: int) -> pa.Table:
        listed = self._listing.rows(start, stop)
        index = np.arange(start, start + len(listed), dtype=np.int64)
        boxes = PLAN.field("boxes").type
        if self._starts is None:
            shard = index // self._shard_size
        else:
            shard = np.searchsorted(self._starts, index, "right") - 1
        columns: dict[str, Any] = {
            "index": index,
            "shard": shard.astype(np.int32),
            "boxes": None if self._boxes is None else self._boxes.column(start, start + len(listed), boxes),
        }
        columns |= {name: listed[name] for name in listed.column_names}
        return pa.table(
            [
                pa.nulls(len(listed), field.type) if columns.get(field.name) is None else columns[field.name]
                for field in PLAN
            ],
            schema=PLAN,
        )
