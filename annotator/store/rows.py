"""From results to rows: collects the items of one shard and makes its two tables."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from annotator.errors import ItemError
from annotator.people import Poses
from annotator.skeletons import Skeleton
from annotator.store.schema import IMAGES, INSTANCES, Provenance, instance_ids, metadata
from annotator.store.visibility import VisibilityPolicy

if TYPE_CHECKING:
    from annotator.items import Item


@dataclass(frozen=True, slots=True)
class _Row:
    item: Item
    size: tuple[int, int] | None
    result: Poses | ItemError


class RowBuilder:
    """Collects one result an item, in any order, and lays them out in plan order.

    Args:
        skeleton: of the pose model; its joints are the K of every keypoints list.
        policy: decides v.
        provenance: models and hashes, written into the metadata of both tables.
    """

    def __init__(self, skeleton: Skeleton, policy: VisibilityPolicy, provenance: Provenance) -> None:
        self._skeleton = skeleton
        self._policy = policy
        self._provenance = provenance
        self._rows: dict[int, _Row] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, item: Item, size: tuple[int, int] | None, result: Poses | ItemError) -> None:
        """Take the result of one item. Poses that are not finite numbers become an error row.

        Args:
            item: from the plan.
            size: (width, height) of the upright image in pixels; None only when it could not be read.
            result: the people found, or why there is no result.

        Raises:
            ValueError: a second result for one item, people without an image size, a wrong number of joints.
        """
        if item.index in self._rows:
            raise ValueError(f"item {item.index} ({item.uri}) has a row already")
        if isinstance(result, Poses):
            if size is None:
                raise ValueError(f"item {item.index} ({item.uri}): people, but no image size")
            if result.keypoints.shape != (len(result), len(self._skeleton), 2):
                raise ValueError(
                    f"item {item.index} ({item.uri}): keypoints {result.keypoints.shape} do not fit the "
                    f"{len(self._skeleton)} joints of skeleton {self._skeleton.name!r}"
                )
            if not _finite(result):
                result = ItemError(
                    "pose", "not_finite", "the model's output is not a finite number (NaN or infinity)"
                )
        self._rows[item.index] = _Row(item, size, result)

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """The `images` and `instances` tables of everything added, in plan order, with their metadata."""
        rows = [self._rows[index] for index in sorted(self._rows)]
        images = _with_metadata(_images(rows), self._metadata("images"))
        instances = _with_metadata(
            _instances(rows, self._policy, len(self._skeleton)), self._metadata("instances")
        )
        return images, instances

    def _metadata(self, table: str) -> dict[bytes, bytes]:
        return metadata(
            table, skeleton=self._skeleton, visibility=self._policy.to_dict(), provenance=self._provenance
        )


def _finite(poses: Poses) -> bool:
    arrays = (poses.bboxes, poses.bbox_scores, poses.keypoints, poses.keypoint_scores, poses.scores)
    return all(np.isfinite(array).all() for array in arrays)


def _with_metadata(table: pa.Table, entries: dict[bytes, bytes]) -> pa.Table:
    return table.replace_schema_metadata(entries)


def _images(rows: list[_Row]) -> pa.Table:
    columns: dict[str, list] = {name: [] for name in IMAGES.names}
    for row in rows:
        error = row.result if isinstance(row.result, ItemError) else None
        people = 0 if isinstance(row.result, ItemError) else len(row.result)
        values = {
            "index": row.item.index,
            "image_id": row.item.image_id,
            "shard": row.item.shard,
            "uri": row.item.uri,
            "file_name": row.item.file_name,
            "width": row.size[0] if row.size else None,
            "height": row.size[1] if row.size else None,
            "status": "error" if error else "ok" if people else "empty",
            "num_instances": people,
            "error_stage": error.stage if error else None,
            "error_kind": error.kind if error else None,
            "error_message": error.message if error else None,
        }
        for name, column in columns.items():
            # Items of videos carry these; items of pictures do not.
            column.append(values[name] if name in values else getattr(row.item, name, None))
    return pa.table([pa.array(columns[f.name], f.type) for f in IMAGES], schema=IMAGES)


def _instances(rows: list[_Row], policy: VisibilityPolicy, joints: int) -> pa.Table:
    images: list[dict[str, np.ndarray]] = []
    for row in rows:
        if isinstance(row.result, ItemError) or row.size is None or not len(row.result):
            continue
        poses, n = row.result, len(row.result)
        v = policy(poses, *row.size)
        bboxes = np.asarray(poses.bboxes, np.float64)
        columns = {
            "id": np.array(instance_ids(row.item.index, n), np.int64),
            "image_id": np.full(n, row.item.image_id, np.int64),
            "category_id": np.ones(n, np.int32),
            "bbox": bboxes,
            "area": bboxes[:, 2] * bboxes[:, 3],
            "iscrowd": np.zeros(n, np.int8),
            "keypoints": np.concatenate([poses.keypoints, v[..., None]], axis=-1, dtype=np.float32),
            "num_keypoints": (v > 0).sum(axis=1, dtype=np.int32),
            "score": np.asarray(poses.scores, np.float32),
            "keypoint_scores": np.asarray(poses.keypoint_scores, np.float32),
            "bbox_score": np.asarray(poses.bbox_scores, np.float32),
            "person_index": np.arange(n, dtype=np.int32),
        }
        images.append(columns | _signals(row.item.index, poses))
    if not images:
        return INSTANCES.empty_table()
    lengths = {"bbox": 4, "keypoints": 3 * joints}
    return pa.table(
        [_column(images, field, lengths.get(field.name, joints)) for field in INSTANCES], schema=INSTANCES
    )


def _signals(index: int, poses: Poses) -> dict[str, np.ndarray]:
    """Signal columns of the people of one image; those that are not there are left out."""
    found: dict[str, np.ndarray | None] = {
        name: getattr(poses, name)
        for name in ("keypoint_probs", "keypoint_entropies", "second_oks", "keypoint_agreement", "posed_by")
    }
    if poses.signals is not None:
        found |= {field.name: getattr(poses.signals, field.name) for field in fields(poses.signals)}
        ids = np.array([0, *instance_ids(index, len(poses))], np.int64)
        found["duplicate_of"] = ids[poses.signals.duplicate_of + 1]
    return {name: values for name, values in found.items() if values is not None}


def _column(images: list[dict[str, np.ndarray]], field: pa.Field, length: int) -> pa.Array:
    """One column for the people of all images, null for the people of images that are without it.

    Images of a shard may differ in that: only where a cascade asked the second model is there what it alone
    tells.
    """
    counts = [len(image["id"]) for image in images]
    like = next((image[field.name] for image in images if field.name in image), None)
    if like is None:
        return pa.nulls(sum(counts), field.type)
    blank = np.nan if like.dtype.kind == "f" else 0
    values = np.concatenate(
        [
            image[field.name] if field.name in image else np.full((count, *like.shape[1:]), blank, like.dtype)
            for image, count in zip(images, counts, strict=True)
        ]
    )
    if pa.types.is_list(field.type):
        return _lists(values, length, field.type)
    absent = np.repeat([field.name not in image for image in images], counts)
    if field.name == "duplicate_of":
        # Nobody's duplicate: no id is 0.
        absent |= values == 0
    if values.dtype.kind == "f":
        absent |= np.isnan(values)
    return pa.array(values, field.type, mask=absent)


def _lists(values: np.ndarray, length: int, kind: pa.DataType) -> pa.Array:
    """One list of `length` numbers a row, from an array of any shape with that many numbers a row.

    A row that is not a number throughout becomes null.
    """
    offsets = np.arange(0, values.size + 1, length, dtype=np.int32)
    rows = values.reshape(-1, length)
    absent = np.isnan(rows).all(axis=1)
    mask = pa.array(absent) if absent.any() else None
    return pa.ListArray.from_arrays(offsets, pa.array(rows.reshape(-1)), type=kind, mask=mask)
