"""A run as reviewed: the same rows, with decisions and corrections in place, for whoever exports it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa

from annotator.errors import UserError
from annotator.store.added_people import RunWithAdded
from annotator.store.reader import Run
from annotator.store.reviews import ACCEPTED, REJECTED, Review, read
from annotator.store.view import View

Choice = Literal["accepted", "all"]


class ReviewedRun(View):
    """Reads as the run does, with the people whom reviewers added; what is on disk stays what it is.

    "all": everybody who was not rejected, corrected where somebody was corrected. "accepted": images in which
    somebody was accepted; the accepted with their keypoints, and those who are undecided, sent back, or
    accepted with joints that nobody has seen (`Review.accepted`), as boxes without keypoints
    (`num_keypoints` 0), which COCO's trainers and evaluators take for "not labelled".

    Args:
        run: the run. choice: whom to take.

    Attributes:
        accepted: with "accepted", ids of those whose keypoints are taken; else None.
        unseen: how many people of the run were accepted, but not with the joints that they have now.

    Raises:
        UserError: nothing was pulled yet, or no such choice.
    """

    def __init__(self, run: Run, choice: str) -> None:
        if choice not in ("accepted", "all"):
            raise UserError(f"--reviewed {choice}: choose accepted or all")
        needs = ("id", "image_id", "keypoints", "num_keypoints")
        self.reviews = read(run)
        super().__init__(RunWithAdded(run, self.reviews.values()), images=("image_id",), instances=needs)
        self.choice = choice
        if not self.reviews:
            raise UserError(
                f"{run.place} has no reviews yet; `annotator review pull {run.place}` brings them back"
            )
        labelled = {person: review for person, review in self.reviews.items() if review.accepted}
        self.accepted = frozenset(labelled) if choice == "accepted" else None
        self._images = {review.image_id for review in labelled.values()}
        self.unseen = sum(
            review.decision == ACCEPTED and not review.accepted and "gone" not in review.flags
            for review in self.reviews.values()
        )

    def _changed(self, table: str, batch: pa.RecordBatch) -> pa.RecordBatch:
        if table == "instances":
            return self._merged(batch)
        return batch.filter(self._of_images(batch)) if self.choice == "accepted" else batch

    def _of_images(self, batch: pa.RecordBatch) -> pa.Array:
        return pa.array([image_id in self._images for image_id in batch["image_id"].to_pylist()], pa.bool_())

    def _merged(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        reviews = [self.reviews.get(person) for person in batch["id"].to_pylist()]
        keep = pa.array([review is None or review.decision != REJECTED for review in reviews], pa.bool_())
        if batch.num_rows:
            batch = self._with_keypoints(batch, reviews)
        if self.choice == "accepted":
            both = zip(keep.to_pylist(), self._of_images(batch).to_pylist(), strict=True)
            keep = pa.array([a and b for a, b in both], pa.bool_())
        return batch.filter(keep)

    def _with_keypoints(self, batch: pa.RecordBatch, reviews: list[Review | None]) -> pa.RecordBatch:
        lengths = np.diff(batch["keypoints"].offsets.to_numpy())
        keypoints = batch["keypoints"].flatten().to_numpy().reshape(batch.num_rows, -1, 3).copy()
        numbers = batch["num_keypoints"].to_numpy().copy()
        for n, review in enumerate(reviews):
            if review is not None and review.keypoints is not None:
                keypoints[n] = np.array(review.keypoints, np.float32).reshape(-1, 3)
            if self.choice == "accepted" and not (review is not None and review.accepted):
                keypoints[n] = 0
            numbers[n] = (keypoints[n, :, 2] > 0).sum()
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        schema = batch.schema
        kind = schema.field("keypoints").type
        lists = pa.ListArray.from_arrays(offsets, pa.array(keypoints.ravel()), type=kind)
        columns = {name: batch[name] for name in schema.names}
        columns["keypoints"], columns["num_keypoints"] = lists, pa.array(numbers)
        return pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)
