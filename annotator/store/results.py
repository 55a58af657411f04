"""Rows back to results: what the models found in the images of a committed shard, as they handed it on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa

from annotator.errors import ItemError
from annotator.people import Poses, Signals
from annotator.store.reader import Run


@dataclass(frozen=True, slots=True)
class StoredResult:
    """One image of a run.

    Attributes:
        index: place of the item in the plan.
        size: (width, height) in pixels; None for images that could not be read.
        result: the people, with the signals that were stored, or the error. What the flip test averaged is
            not stored, so `halves` is None.
    """

    index: int
    size: tuple[int, int] | None
    result: Poses | ItemError


def stored_results(run: Run, shard: int) -> Iterator[StoredResult]:
    """What a shard of a run holds, in plan order.

    Raises:
        FileNotFoundError: the shard is not committed.
        RunFailed: its files are missing or damaged.
    """
    columns = ["index", "image_id", "width", "height", "status", "error_stage", "error_kind", "error_message"]
    images = run.rows("images", shard, columns).to_pylist()
    people = run.rows("instances", shard).combine_chunks()
    joints = len(run.skeleton)
    image_ids = people["image_id"].to_numpy()
    # People of an image are neighbours, and images stand in plan order.
    ids, starts, counts = np.unique(image_ids, return_index=True, return_counts=True)
    spans = {
        image_id: slice(start, start + count)
        for image_id, start, count in zip(ids.tolist(), starts.tolist(), counts.tolist(), strict=True)
    }
    arrays = _arrays(people, joints)
    for row in images:
        size = None if row["width"] is None else (row["width"], row["height"])
        if row["status"] == "error":
            error = ItemError(row["error_stage"], row["error_kind"], row["error_message"])
            yield StoredResult(row["index"], size, error)
        else:
            people_of = spans.get(row["image_id"], slice(0, 0))
            yield StoredResult(row["index"], size, _poses(arrays, people_of, joints))


def _arrays(people: pa.Table, joints: int) -> dict[str, np.ndarray | None]:
    """Columns as arrays of one row a person; None for those that are null throughout."""
    lengths = {"bbox": 4, "keypoints": 3 * joints}
    return {
        name: _array(people[name], lengths.get(name, joints)) if len(people) else None
        for name in people.column_names
    } | ({} if len(people) else _nobody(joints))


def _nobody(joints: int) -> dict[str, np.ndarray]:
    shapes = {"bbox": (0, 4), "bbox_score": (0,), "score": (0,), "id": (0,)}
    shapes |= {"keypoints": (0, 3 * joints), "keypoint_scores": (0, joints)}
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def _array(column: pa.ChunkedArray, length: int) -> np.ndarray | None:
    if column.null_count == len(column):
        return None
    if pa.types.is_list(column.type):
        array = column.combine_chunks()
        values = np.full((len(array), length), np.nan, array.type.value_type.to_pandas_dtype())
        values[array.is_valid().to_numpy(zero_copy_only=False)] = (
            array.flatten().to_numpy().reshape(-1, length)
        )
        return values
    if pa.types.is_string(column.type):
        return np.array(column.to_pylist())
    return column.to_numpy()


def _poses(arrays: dict[str, Any], rows: slice, joints: int) -> Poses:
    part: dict[str, Any] = {name: None if values is None else values[rows] for name, values in arrays.items()}
    keypoints = part["keypoints"].reshape(-1, joints, 3)
    return Poses(
        bboxes=part["bbox"].astype(np.float64),
        bbox_scores=part["bbox_score"],
        keypoints=np.ascontiguousarray(keypoints[..., :2]),
        keypoint_scores=part["keypoint_scores"],
        scores=part["score"],
        keypoint_entropies=part.get("keypoint_entropies"),
        signals=_signals(part),
        second_oks=part.get("second_oks"),
        keypoint_agreement=part.get("keypoint_agreement"),
        posed_by=part.get("posed_by"),
    )


def _signals(part: dict[str, Any]) -> Signals | None:
    """The signals; None in rows of version 1.0, which have none."""
    if part.get("pose_score") is None:
        return None
    ids = {identifier: place for place, identifier in enumerate(part["id"].tolist())}
    duplicates = part.get("duplicate_of")
    values: dict[str, Any] = {field.name: part.get(field.name) for field in fields(Signals)}
    values["duplicate_of"] = np.array(
        [-1] * len(ids) if duplicates is None else [ids.get(one, -1) for one in duplicates.tolist()], np.int32
    )
    return Signals(**values)
