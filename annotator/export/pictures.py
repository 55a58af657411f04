"""A run picture by picture, as formats take it that keep people with their image; one shard is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from annotator.export.doubtful import DOUBTS, doubts
from annotator.export.exported import Exported
from annotator.store.reader import Run

_IMAGE = ["image_id", "file_name", "uri", "width", "height", "status", "video_uri"]
_PERSON = [
    "id", "image_id", "category_id", "bbox", "area", "iscrowd", "keypoints", "num_keypoints", "score",
    "bbox_score", "keypoint_scores", *DOUBTS,
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    """One person.

    Attributes:
        id: of the row. bbox: (4,) float64 xywh, pixels. keypoints: (K, 3) float32, x, y, v in {0, 1, 2}.
        score, bbox_score: as in the row. keypoint_scores: (K,) float32, raw.
        doubts: the kinds of `doubtful.KINDS` that the run takes the person for.
    """

    id: int
    bbox: np.ndarray
    keypoints: np.ndarray
    score: float
    bbox_score: float
    keypoint_scores: np.ndarray
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """One image with its people. `is_frame`: it is a frame of a video and has no file of its own."""

    image_id: int
    file_name: str
    uri: str
    width: int
    height: int
    is_frame: bool
    people: list[Person]


def pictures(run: Run, done: Exported, *, min_score: float = 0.0) -> Iterator[Picture]:
    """Every image that has a result, in plan order, with those people who score enough.

    Counts error rows and people left out in `done`; what is written is for the caller to count.
    """
    people = _grouped(run, done, min_score)
    waiting = next(people, None)
    for batch in run.images(_IMAGE):
        for row in batch.to_pylist():
            here: list[Person] = []
            if waiting is not None and waiting[0] == row["image_id"]:
                here = waiting[1]
                waiting = next(people, None)
            if row["status"] == "error":
                done.errors += 1
                continue
            yield Picture(
                row["image_id"],
                row["file_name"],
                row["uri"],
                row["width"],
                row["height"],
                row["video_uri"] is not None,
                here,
            )


def _grouped(run: Run, done: Exported, min_score: float) -> Iterator[tuple[int, list[Person]]]:
    """(image_id, its people) of each image that has any, in plan order; an empty list where none is left."""
    for batch in run.instances(_PERSON):
        n = batch.num_rows
        if not n:
            continue
        keep = batch["score"].to_numpy() >= min_score
        done.below_score += int((~keep).sum())
        people = _people(batch)
        image = batch["image_id"].to_numpy()
        edges = [0, *(np.flatnonzero(np.diff(image)) + 1).tolist(), n]
        for start, end in pairwise(edges):
            yield int(image[start]), [people[k] for k in range(start, end) if keep[k]]


def _people(batch: pa.RecordBatch) -> list[Person]:
    n = batch.num_rows
    bboxes = batch["bbox"].flatten().to_numpy().reshape(n, 4)
    keypoints = batch["keypoints"].flatten().to_numpy().reshape(n, -1, 3)
    joint_scores = batch["keypoint_scores"].flatten().to_numpy().reshape(n, -1)
    ids, scores = batch["id"].to_pylist(), batch["score"].to_pylist()
    columns = ids, bboxes, keypoints, scores, batch["bbox_score"].to_pylist(), joint_scores, doubts(batch)
    return [Person(*values) for values in zip(*columns, strict=True)]
