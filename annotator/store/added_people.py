"""A run with the people whom reviewers added among its own, for whoever reads it as reviewed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from annotator.store.person_ids import is_added
from annotator.store.reader import Run
from annotator.store.records import CommitRecord
from annotator.store.reviews import Review
from annotator.store.schema import INSTANCES
from annotator.store.view import View


class RunWithAdded(View):
    """Reads as the run does, with rows of added people behind those of their images.

    Such a row has what a reviewer knows: a box, and joints with v. Its scores are 1, those of joints with
    v = 0 are 0; what only a model tells is null.

    Args:
        run: the run. reviews: of its people, merged; those of people whom the run found are not looked at.
    """

    def __init__(self, run: Run, reviews: Iterable[Review]) -> None:
        super().__init__(run)
        self._added: dict[int, list[Review]] = defaultdict(list)
        for review in reviews:
            if is_added(review.instance_id):
                self._added[review.image_id].append(review)

    def _batches(
        self, table: str, records: Iterable[CommitRecord], columns: Sequence[str] | None
    ) -> Iterator[pa.RecordBatch]:
        if table != "instances" or not self._added:
            yield from super()._batches(table, records, columns)
            return
        for record in records:
            images = [
                image_id
                for batch in super()._batches("images", [record], ["image_id"])
                for image_id in batch["image_id"].to_pylist()
            ]
            if self._added.keys().isdisjoint(images):
                yield from super()._batches(table, [record], columns)
            else:
                yield from self._with_added(record, images, columns)

    def _with_added(
        self, record: CommitRecord, images: list[int], columns: Sequence[str] | None
    ) -> Iterator[pa.RecordBatch]:
        names = INSTANCES.names if columns is None else list(columns)
        wanted = list(dict.fromkeys([*names, "image_id"]))
        batches = list(super()._batches("instances", [record], wanted))
        schema = batches[0].schema if batches else pa.schema([INSTANCES.field(name) for name in wanted])
        people = pa.Table.from_batches(batches, schema)
        own = Counter(people["image_id"].to_pylist())
        joints = len(self.skeleton)
        added = [
            _row(review, own[image_id] + n, joints)
            for image_id in images
            for n, review in enumerate(self._added.get(image_id, ()))
        ]
        both = pa.concat_tables([people, pa.Table.from_pylist(added, schema)])
        place = {image_id: n for n, image_id in enumerate(images)}
        order = np.argsort([place[image_id] for image_id in both["image_id"].to_pylist()], kind="stable")
        yield from both.take(order).select(names).combine_chunks().to_batches()


def _row(review: Review, person_index: int, joints: int) -> dict[str, Any]:
    """The columns of `instances` that are known."""
    assert review.bbox is not None
    # Of a line that cannot be read no joint is known.
    keypoints = np.array(review.keypoints or (0.0,) * 3 * joints, np.float32)
    labelled = keypoints[2::3] > 0
    return {
        "id": review.instance_id,
        "image_id": review.image_id,
        "category_id": 1,
        "bbox": review.bbox,
        "area": review.bbox[2] * review.bbox[3],
        "iscrowd": 0,
        "keypoints": keypoints,
        "num_keypoints": int(labelled.sum()),
        "score": 1.0,
        "keypoint_scores": labelled.astype(np.float32),
        "bbox_score": 1.0,
        "person_index": person_index,
    }
