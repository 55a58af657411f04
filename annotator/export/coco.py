"""COCO's two keypoint formats, written a batch of rows at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from annotator.export.doubtful import doubts
from annotator.export.exported import Exported
from annotator.store.atomic import atomic_text
from annotator.store.reader import Run

_PROVENANCE = (
    "code_version",
    "pose_model",
    "second_pose_model",
    "detector",
    "boxes",
    "visibility",
    "calibration",
    "derived_from",
    "config_sha256",
    "plan_sha256",
)


def write_coco(run: Run, path: str | Path, *, min_score: float = 0.0) -> Exported:
    """A COCO keypoint file that annotation tools and pycocotools load.

    Joints with v = 0 are (0, 0, 0), as COCO has it. Beside COCO's fields there are `score`, `bbox_score` and
    `keypoint_scores`. Numbers are the shortest decimals that give the stored ones back: nothing is rounded.
    Frames of videos have `video_id` and `frame_id`, followed people `track_id`; `posed_by` is of a cascade. A
    `SmoothedRun` gives `keypoints_raw`, `keypoint_sigmas` in pixels, and `filled` for people in short gaps.

    Args:
        min_score: people below this score are left out; their images stay.

    Raises:
        UserError: nothing was committed yet, nobody was followed, or the path cannot be written.
        RunFailed: a data file is damaged, or the disk is full; a file that was there before is untouched.
    """
    header = {"info": _info(run), "licenses": [], "categories": [_category(run)]}
    videos: dict[str, int] = {}
    done = Exported(Path(path))
    with atomic_text(path) as out:
        out.write(json.dumps(header, ensure_ascii=False)[:-1])
        out.write(',\n"images": ')
        _write_list(out, _images(run, videos, done))
        out.write(',\n"annotations": ')
        _write_list(out, _people(run, min_score, done, _annotation))
        if videos:
            out.write(',\n"videos": ')
            _write_list(out, (json.dumps({"id": i, "name": uri}) for uri, i in videos.items()))
        out.write("}\n")
    return done


def write_coco_results(run: Run, path: str | Path, *, min_score: float = 0.0) -> Exported:
    """COCO results: a list with image_id, category_id, keypoints, score and bbox of each person.

    All coordinates are kept; the third number of a joint is v. Arguments and errors as of `write_coco`.
    """
    done = Exported(Path(path))
    for batch in run.images(["status"]):
        errors = batch["status"].to_pylist().count("error")
        done.errors += errors
        done.images += batch.num_rows - errors
    with atomic_text(path) as out:
        _write_list(out, _people(run, min_score, done, _result))
        out.write("\n")
    return done


def _info(run: Run) -> dict[str, Any]:
    """Where the annotations come from, in COCO's `info`."""
    pose = run.metadata
    return {
        "description": "Human pose annotations made by pose-annotator; predictions, not ground truth",
        "version": pose["version"],
        "date_created": run.info.started_at,
        "pose_annotator": {name: pose.get(name) for name in _PROVENANCE},
    }


def _category(run: Run) -> dict[str, Any]:
    skeleton = run.skeleton
    return {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.keypoints),
        # COCO counts joints from 1 here.
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.edges],
        "sigmas": list(skeleton.sigmas),
    }


def _images(run: Run, videos: dict[str, int], done: Exported) -> Iterator[str]:
    columns = ["image_id", "file_name", "width", "height", "status", "video_uri", "frame_index"]
    for batch in run.images(columns):
        for row in batch.to_pylist():
            if row["status"] == "error":
                done.errors += 1
                continue
            done.images += 1
            entry = {
                "id": row["image_id"],
                "file_name": row["file_name"],
                "width": row["width"],
                "height": row["height"],
            }
            if row["video_uri"] is not None:
                entry["video_id"] = videos.setdefault(row["video_uri"], len(videos) + 1)
                entry["frame_id"] = row["frame_index"]
            yield json.dumps(entry, ensure_ascii=False)


def _people(run: Run, min_score: float, done: Exported, form) -> Iterator[str]:
    for batch in run.instances():
        keep = batch["score"].to_numpy() >= min_score
        done.below_score += int((~keep).sum())
        batch = batch.filter(pa.array(keep))
        done.add_people(doubts(batch))
        yield from form(batch)


def _annotation(batch: pa.RecordBatch) -> Iterable[str]:
    columns = {
        "id": batch["id"],
        "image_id": batch["image_id"],
        "category_id": batch["category_id"],
        "bbox": batch["bbox"],
        "area": batch["area"],
        "iscrowd": batch["iscrowd"],
        "keypoints": _without_unlabelled(batch["keypoints"]),
        "num_keypoints": batch["num_keypoints"],
        "score": batch["score"],
        "bbox_score": batch["bbox_score"],
        "keypoint_scores": batch["keypoint_scores"],
    }
    for name in ("keypoint_probs", "posed_by", "track_id", "keypoints_raw", "keypoint_sigmas"):
        if name in batch.schema.names and batch[name].null_count < batch.num_rows:
            columns[name] = batch[name]
    if "filled" in batch.schema.names:
        columns["filled"] = pc.if_else(batch["filled"], True, None)  # type: ignore[attr-defined]
    return _objects(columns)


def _result(batch: pa.RecordBatch) -> Iterable[str]:
    return _objects({name: batch[name] for name in ("image_id", "category_id", "keypoints", "score", "bbox")})


def _without_unlabelled(keypoints: pa.Array) -> pa.Array:
    """The same lists with (0, 0, 0) for every joint of v = 0."""
    xyv = keypoints.flatten().to_numpy().reshape(-1, 3)
    shown = np.where(xyv[:, 2:] > 0, xyv, np.float32(0))
    lengths = np.diff(keypoints.offsets.to_numpy())
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(shown.ravel()))


def _objects(columns: dict[str, pa.Array]) -> Iterator[str]:
    """One JSON object a row. Arrow prints each number as the shortest decimal that reads back as the same."""
    texts = [_texts(column) for column in columns.values()]
    keys = [json.dumps(name) for name in columns]
    for row in zip(*texts, strict=True):
        fields = (f"{key}: {text}" for key, text in zip(keys, row, strict=True) if text is not None)
        yield "{" + ", ".join(fields) + "}"


def _texts(column: pa.Array) -> list[str | None]:
    if pa.types.is_string(column.type):
        return [None if text is None else json.dumps(text) for text in column.to_pylist()]
    if not pa.types.is_list(column.type):
        return column.cast(pa.string()).to_pylist()
    joined = pc.binary_join(column.cast(pa.list_(pa.string())), ", ").to_pylist()  # type: ignore[attr-defined]
    return [None if text is None else f"[{text}]" for text in joined]


def _write_list(out: IO[str], entries: Iterable[str]) -> None:
    separator = "[\n"
    for entry in entries:
        out.write(separator)
        out.write(entry)
        separator = ",\n"
    out.write("[]" if separator == "[\n" else "\n]")
