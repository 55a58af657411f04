"""Rows as the documents that FiftyOne keeps, made a shard at a time without FiftyOne's own objects.

FiftyOne takes some 200 samples a second through its objects and 5,000 as documents. `tests/review` compares
these documents with FiftyOne's own; `load.py` compares one at every load and refuses when they differ.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from annotator.review.fields import DOUBTFUL, LINE, TRUTH, signals
from annotator.review.identifiers import Identifiers, Kind
from annotator.review.mirror import Mirror, to_fractions

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Extras:
    """What is known of people and images beside their rows.

    Attributes:
        risk: (N,) float32 by place in the shard's instances, 0 best to 1 worst; NaN of those in doubt.
        needs_review: (N,) bool: as of `risk.Risk`.
        oks: (N,) float32 against the ground truth, NaN where there is none; None without ground truth.
        truth: labels of the ground truth by image_id: (boxes, keypoints, missed people).
        shown: path of what the App shows by place in the plan, where it is not the source itself.
        tags: of every image of the shard.
    """

    risk: np.ndarray
    needs_review: np.ndarray
    oks: np.ndarray | None = None
    truth: dict[int, tuple[Document, Document, int]] | None = None
    shown: dict[int, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


@dataclass(slots=True)
class _OfImage:
    boxes: list[Document]
    keypoints: list[Document]
    poses: list[Document]
    risk: float | None


def documents(
    images: pa.RecordBatch,
    instances: pa.RecordBatch,
    extras: Extras,
    identifiers: Identifiers,
    mirror: Mirror,
    now: datetime.datetime,
) -> Iterator[Document]:
    """The fields of each image's sample, without those that only FiftyOne's collection has (`stored`).

    Args:
        images, instances: of one shard, as `store.reader.Run` gives them.
        now: when they are loaded, to the millisecond.
    """
    people = _people(images, instances, extras, identifiers, mirror)
    for row in images.to_pylist():
        labels = people.get(row["image_id"]) or _OfImage([], [], [], None)
        document: Document = {
            "_id": identifiers.of(Kind.SAMPLE, row["index"]),
            "filepath": extras.shown.get(row["index"]) or _path(row),
            "tags": [*extras.tags, row["status"]],
            "metadata": _metadata(row),
            "index": row["index"],
            "image_id": row["image_id"],
            "file_name": row["file_name"],
            "uri": row["uri"],
            "status": row["status"],
            "shard": row["shard"],
            "num_people": len(labels.keypoints),
            "risk": labels.risk,
            "error_stage": row["error_stage"],
            "error_kind": row["error_kind"],
            "error_message": row["error_message"],
            "video_uri": row["video_uri"],
            "frame_index": row["frame_index"],
            "time": row["time"],
            "people": {"_cls": "Detections", "detections": labels.boxes},
            "keypoints": {"_cls": "Keypoints", "keypoints": labels.keypoints},
            "poses": {"_cls": "Polylines", "polylines": labels.poses},
            "loaded_at": now,
        }
        if extras.truth is not None:
            found = extras.truth.get(row["image_id"])
            document.update(zip(TRUTH, found or (None, None, None), strict=True))
        yield document


def stored(document: Document, dataset_id: Any, random: float, now: datetime.datetime) -> Document:
    """The document as FiftyOne's collection has it, with the keys that FiftyOne adds when it inserts."""
    return {
        **document,
        "_media_type": "image",
        "_rand": random,
        "_dataset_id": dataset_id,
        "created_at": now,
        "last_modified_at": now,
    }


def _path(row: dict[str, Any]) -> str:
    from annotator.uris import is_text, local_path

    path = row["video_uri"] or local_path(row["uri"])
    # The database takes nothing but Unicode.
    return path if is_text(path) else row["uri"]


def _metadata(row: dict[str, Any]) -> Document | None:
    if row["width"] is None:
        return None
    return {"_cls": "ImageMetadata", "width": row["width"], "height": row["height"]}


def _people(
    images: pa.RecordBatch,
    instances: pa.RecordBatch,
    extras: Extras,
    identifiers: Identifiers,
    mirror: Mirror,
) -> dict[int, _OfImage]:
    """The labels of each image that has people, by image_id."""
    count = instances.num_rows
    if not count:
        return {}
    sizes = _sizes(images, instances["image_id"].to_numpy())
    bboxes = instances["bbox"].flatten().to_numpy().reshape(count, 4)
    xyv = instances["keypoints"].flatten().to_numpy().reshape(count, -1, 3)
    points = to_fractions(xyv[..., :2], sizes[:, None])
    boxes = (bboxes / np.tile(sizes, 2)).tolist()
    labelled = np.where(xyv[..., 2:] > 0, points, np.nan).tolist()
    lines = mirror.to_lines(points)
    confidence = instances["keypoint_scores"].flatten().to_numpy().reshape(count, -1).tolist()
    visible = xyv[..., 2].astype(int).tolist()
    # Null columns, of which there are many in runs of small models, cost nothing further on.
    others = {
        name: column.to_pylist() for name in signals() if (column := instances[name]).null_count < count
    }
    others["risk"] = pa.array(extras.risk, from_pandas=True).to_pylist()
    others["needs_review"] = extras.needs_review.tolist()
    if extras.oks is not None:
        others["oks"] = pa.array(extras.oks, from_pandas=True).to_pylist()
    box_scores, scores = instances["bbox_score"].to_pylist(), instances["score"].to_pylist()
    image_ids = instances["image_id"].to_pylist()
    found: dict[int, _OfImage] = {}
    for n, person in enumerate(instances["id"].to_pylist()):
        of_image = found.get(image_ids[n])
        if of_image is None:
            of_image = found[image_ids[n]] = _OfImage([], [], [], None)
        shared = {
            "instance": {"_id": identifiers.of(Kind.INSTANCE, person), "_cls": "Instance"},
            "person": person,
        }
        pose = [line[n] for line in lines]
        doubtful = others["risk"][n] is None
        of_image.boxes.append(
            label_of(identifiers.of(Kind.BOX, person), "Detection", shared)
            | {"bounding_box": boxes[n], "confidence": box_scores[n], "score": scores[n]}
            | ({DOUBTFUL: True} if doubtful else {})
        )
        of_image.keypoints.append(
            label_of(identifiers.of(Kind.KEYPOINTS, person), "Keypoint", shared)
            | {"points": labelled[n], "confidence": confidence[n], "visible": visible[n]}
            | {name: values[n] for name, values in others.items() if values[n] is not None}
            | ({DOUBTFUL: True, LINE: pose} if doubtful else {})
        )
        if not doubtful:
            of_image.poses.append(line_of(identifiers, person, shared, pose))
        if (risk := others["risk"][n]) is not None:
            of_image.risk = risk if of_image.risk is None else max(of_image.risk, risk)
    return found


def label_of(identifier: Any, kind: str, shared: Document) -> Document:
    """What every label of a person has; `kind` is FiftyOne's class, `shared` what the others have too."""
    return {"_id": identifier, "_cls": kind, "attributes": {}, "tags": [], "label": "person", **shared}


def line_of(identifiers: Identifiers, person: int, shared: Document, points: list) -> Document:
    """The line of a person, as it is drawn; `points` as `Mirror.to_lines` gives them, `shared` as above."""
    more = {"points": points, "closed": False, "filled": False, "drawn": points}
    return label_of(identifiers.of(Kind.POSE, person), "Polyline", shared) | more


def _sizes(images: pa.RecordBatch, of: np.ndarray) -> np.ndarray:
    """(N, 2) float64: width and height of the image of each person."""
    ids = images["image_id"].to_numpy()
    order = np.argsort(ids)
    place = order[np.searchsorted(ids, of, sorter=order)]
    sides = [images[name].to_numpy(zero_copy_only=False)[place] for name in ("width", "height")]
    return np.stack(sides, axis=1).astype(np.float64)
