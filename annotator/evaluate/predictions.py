"""The people of a run as an evaluation takes them: image by image, near-duplicates marked as MMPose does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from annotator.pose.oks import nms_areas, oks_nms
from annotator.store.reader import Run


@dataclass(frozen=True, slots=True)
class FoundPeople:
    """The people of one image of a run: N people, K joints.

    Attributes:
        bboxes: (N, 4) float64 xywh. keypoints: (N, K, 3) float32, x, y, v. Pixels of the upright image.
        scores, bbox_scores: (N,) float32.
        kept: indices of those whose poses are evaluated, best first; NMS leaves out the others.
    """

    bboxes: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    bbox_scores: np.ndarray
    kept: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls, joints: int) -> FoundPeople:
        """Nobody."""
        empty = np.zeros(0, np.float32)
        return cls(
            np.zeros((0, 4)), np.zeros((0, joints, 3), np.float32), empty, empty, np.zeros(0, np.int64)
        )


def found_people(
    run: Run, nms: Literal["oks", "none"], threshold: float
) -> Iterator[tuple[int, FoundPeople]]:
    """Each image of the run that has people, with its image_id.

    Args:
        nms: "oks" leaves out whoever has a better person within an OKS of more than `threshold`.
    """
    joints, sigmas = len(run.skeleton), np.array(run.skeleton.sigmas)
    models = run.metadata
    # Without a detector and without boxes, the pose model found the people in the whole image.
    whole_image = models["detector"] is None and models["boxes"] is None
    size = None if whole_image else models["pose_model"]["input_size"]
    for batch in run.instances(["image_id", "bbox", "keypoints", "score", "bbox_score"]):
        n = batch.num_rows
        bboxes = batch["bbox"].flatten().to_numpy().reshape(n, 4)
        keypoints = batch["keypoints"].flatten().to_numpy().reshape(n, joints, 3)
        scores, bbox_scores = batch["score"].to_numpy(), batch["bbox_score"].to_numpy()
        image_id = batch["image_id"].to_numpy()
        edges = np.flatnonzero(np.diff(image_id)) + 1
        for start, end in zip([0, *edges], [*edges, n], strict=True):
            if end == start:
                continue
            here = slice(start, end)
            kept = np.argsort(-scores[here], kind="stable")
            if nms == "oks":
                xy = keypoints[here, :, :2]
                kept = oks_nms(xy, scores[here], nms_areas(bboxes[here], xy, size), sigmas, threshold)
            yield (
                int(image_id[start]),
                FoundPeople(bboxes[here], keypoints[here], scores[here], bbox_scores[here], kept),
            )
