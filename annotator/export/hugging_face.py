"""A Hugging Face data set: Parquet with a row a picture and its people in it, and a card.

https://huggingface.co/docs/hub/datasets-manual-configuration
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from annotator.errors import AnnotatorError, UserError
from annotator.export.exported import Exported
from annotator.export.pictures import Person, Picture, pictures
from annotator.locations import is_remote
from annotator.media.image import ImageLimits
from annotator.media.remote import read_bytes
from annotator.store.atomic import atomic_folder
from annotator.store.reader import Run
from annotator.uris import local_path

# Rows of a group, and limits of a file: the hub likes them below 500 MB.
_GROUP = 200
_FILE_BYTES = 400_000_000
_FILE_ROWS = 200_000

_FLOATS = pa.list_(pa.float32())
_PERSON = pa.struct(
    [
        ("id", pa.int64()), ("category", pa.int32()), ("bbox", pa.list_(pa.float64())),
        ("area", pa.float64()),
        ("keypoints", _FLOATS), ("num_keypoints", pa.int32()), ("score", pa.float32()),
        ("bbox_score", pa.float32()), ("keypoint_scores", _FLOATS),
    ]
)  # fmt: skip
_PICTURE = [
    ("image_id", pa.int64()), ("file_name", pa.string()), ("width", pa.int32()), ("height", pa.int32()),
    ("objects", pa.list_(_PERSON)),
]  # fmt: skip
_IMAGE = ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def write_hugging_face(
    run: Run,
    path: str | Path,
    *,
    min_score: float = 0.0,
    with_images: bool = False,
) -> Exported:
    """Write a folder with `data/train-*.parquet` and README.md, which `datasets.load_dataset` opens.

    Keypoints are [x, y, v] as in the run, pixels of the upright picture, v as COCO has it.

    Args:
        path: a folder that is new or empty.
        min_score: people below it are left out; their pictures stay.
        with_images: put the pictures' own bytes into the column `image`; null for frames of videos, and where
            the file cannot be read.

    Raises:
        UserError: nothing was committed yet, no picture at all can be put in, or the folder is not empty or
            cannot be written.
        RunFailed: a data file is damaged, or the disk is full.
    """
    done = Exported(Path(path))
    schema = _schema(with_images)
    rows = _rows(pictures(run, done, min_score=min_score), done, with_images)
    with atomic_folder(path) as folder:
        (folder / "data").mkdir()
        files = 0
        while True:
            if not _write_file(folder / "data" / f"{files:05d}.parquet", rows, schema) and files:
                break
            files += 1
        (folder / "data" / f"{files:05d}.parquet").unlink()
        for n in range(files):
            name = f"train-{n:05d}-of-{files:05d}.parquet"
            (folder / "data" / f"{n:05d}.parquet").rename(folder / "data" / name)
        if done.images and done.no_picture == done.images:
            raise UserError(
                f"--with-images: none of the {done.images:,} images has a file that can be read. Frames of "
                "videos have none; put other sources back where they were, or leave out --with-images"
            )
        (folder / "README.md").write_text(_card(run, done), encoding="utf-8")
    return done


def _write_file(path: Path, rows: Iterator[dict[str, Any]], schema: pa.Schema) -> int:
    """Fill one file; returns its rows."""
    written = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while written < _FILE_ROWS and path.stat().st_size < _FILE_BYTES:
            group = list(islice(rows, _GROUP))
            if not group:
                break
            writer.write_table(pa.Table.from_pylist(group, schema))
            written += len(group)
    return written


def _rows(those: Iterator[Picture], done: Exported, with_images: bool) -> Iterator[dict[str, Any]]:
    for picture in those:
        done.images += 1
        done.add_people(person.doubts for person in picture.people)
        row = {
            "image_id": picture.image_id,
            "file_name": picture.file_name,
            "width": picture.width,
            "height": picture.height,
            "objects": [_object(person) for person in picture.people],
        }
        if with_images:
            row["image"] = None if picture.is_frame else _bytes(picture)
            done.no_picture += row["image"] is None
        yield row


def _object(person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "category": 0,
        "bbox": person.bbox,
        "area": float(person.bbox[2] * person.bbox[3]),
        "keypoints": person.keypoints.ravel(),
        "num_keypoints": int((person.keypoints[:, 2] > 0).sum()),
        "score": person.score,
        "bbox_score": person.bbox_score,
        "keypoint_scores": person.keypoint_scores,
    }


def _bytes(picture: Picture) -> dict[str, Any] | None:
    """The file as it is; None where it cannot be read."""
    try:
        if is_remote(picture.uri):
            data = read_bytes(picture.uri, ImageLimits().max_file_bytes)
        else:
            data = Path(local_path(picture.uri)).read_bytes()
    except (OSError, AnnotatorError):
        return None
    return {"bytes": data, "path": picture.file_name}


def _schema(with_images: bool) -> pa.Schema:
    schema = pa.schema([*([_IMAGE] if with_images else []), *_PICTURE])
    features = {field.name: _feature(field.type) for field in schema}
    if with_images:
        features["image"] = {"_type": "Image"}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _feature(kind: pa.DataType) -> Any:
    """The type as `datasets.Features` writes it."""
    if pa.types.is_list(kind):
        inner = _feature(kind.value_type)
        return [inner] if pa.types.is_struct(kind.value_type) else {"feature": inner, "_type": "Sequence"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    names = {pa.float32(): "float32", pa.float64(): "float64"}
    return {"dtype": names.get(kind, str(kind)), "_type": "Value"}


def _card(run: Run, done: Exported) -> str:
    skeleton = run.skeleton
    models = "\nand ".join(
        f"{model.name} (weights sha256 `{model.sha256}`)" for model in run.info.pose_models
    )
    return f"""---
license: unknown
task_categories:
- keypoint-detection
annotations_creators:
- machine-generated
tags:
- human-pose
- coco
configs:
- config_name: default
  data_files: data/train-*.parquet
---

# Human pose, predicted

{done.people:,} people in {done.images:,} pictures. Keypoints by
{models}; predictions, not ground truth.

`objects` holds the people: `bbox` [x, y, w, h], `keypoints` [x, y, v] of each joint in this order, in
pixels of the upright picture, v as COCO has it (0 not labelled, 1 hidden, 2 visible);
`keypoint_scores` are raw scores.

Joints: {", ".join(skeleton.keypoints)}.
"""
