"""The people of one image as the models hand them on: boxes first, then poses."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from annotator.pose.boxes import extent


@dataclass(frozen=True, slots=True)
class Detections:
    """Person boxes of one image.

    Attributes:
        bboxes: (N, 4) float64, [x1, y1, x2, y2] in pixels of the upright image.
        scores: (N,) float32 in [0, 1].
    """

    bboxes: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        if self.bboxes.shape != (len(self.scores), 4):
            raise ValueError(f"bboxes {self.bboxes.shape} do not match {len(self.scores)} scores")

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls) -> Detections:
        """No person."""
        return cls(np.zeros((0, 4), np.float64), np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True)
class Signals:
    """How far to trust each person: the columns of the same names (`schemas/pose/v1/arrow.json`).

    All are (N,) arrays, None where the model or the run gives nothing to tell it from.

    Attributes:
        duplicate_of: place in the image of the person that this one most likely is again, int32; -1: nobody.
        keypoint_flip_oks: (N, K) float32.
    """

    pose_score: np.ndarray
    person_score: np.ndarray
    max_iou: np.ndarray
    duplicate_of: np.ndarray
    duplicate_oks: np.ndarray
    nms_suppressed: np.ndarray
    joints_outside_box: np.ndarray
    likely_phantom: np.ndarray
    entropy: np.ndarray | None = None
    flip_oks: np.ndarray | None = None
    keypoint_flip_oks: np.ndarray | None = None
    bone_outliers: np.ndarray | None = None
    likely_swap: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Poses:
    """People of one image with their keypoints, in the order of their boxes.

    Attributes:
        bboxes: (N, 4) float64, [x, y, w, h] in pixels of the upright image (COCO's order, as stored).
        bbox_scores: (N,) float32.
        keypoints: (N, K, 2) float32, pixels of the upright image, x right, y down.
        keypoint_scores: (N, K) float32, the model's raw scores (heatmap maxima may exceed 1).
        scores: (N,) float32, the score of the instance.
        keypoint_entropies: (N, K) float32, nats, of the joints' heatmaps or SimCC distributions; None for
            models without.
        halves: (N, 2, K, 2) float32, pixels of the upright image: what the flip test averaged, the pose in
            the crop and that in its mirror image (mirrored back); None without a flip test.
        keypoint_probs: (N, K) float32, calibrated probability that each joint is right; None uncalibrated.
        signals: how far to trust each person; None until `quality` has looked at them.
        second_oks: (N,) float32, OKS with the pose of a second model on the same box; NaN for people whom it
            was not asked about; None without a second model.
        keypoint_agreement: (N, K) float32, the same joint by joint.
        posed_by: (N,) str, name of the model that placed the keypoints; None where all are of one.
    """

    bboxes: np.ndarray
    bbox_scores: np.ndarray
    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    scores: np.ndarray
    keypoint_entropies: np.ndarray | None = None
    halves: np.ndarray | None = None
    keypoint_probs: np.ndarray | None = None
    signals: Signals | None = None
    second_oks: np.ndarray | None = None
    keypoint_agreement: np.ndarray | None = None
    posed_by: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.bboxes)
        others = (self.bbox_scores, self.keypoints, self.keypoint_scores, self.scores)
        if any(len(array) != n for array in others):
            raise ValueError("bboxes, scores and keypoints differ in length")

    def __len__(self) -> int:
        return len(self.bboxes)

    def scaled(self, factor: float) -> Poses:
        """The same people in the frame of a picture `factor` times as large.

        Joints are measured from the centre of the first pixel, which is a block there; boxes from its edge,
        but for those that are the extent of their joints: these stay it.
        """
        times, half_a_block = np.float32(factor), np.float32((factor - 1) / 2)
        keypoints = self.keypoints * times + half_a_block
        from_joints = (self.bboxes == extent(self.keypoints)).all(axis=1, keepdims=True)
        return replace(
            self,
            bboxes=np.where(from_joints, extent(keypoints), self.bboxes * factor),
            keypoints=keypoints,
            halves=None if self.halves is None else self.halves * times + half_a_block,
        )

    def of(self, people: np.ndarray) -> Poses:
        """Some of the people, by their places (M,) or a mask (N,); without signals, which are of all."""
        chosen: dict[str, Any] = {}
        for field in fields(self):
            values = getattr(self, field.name)
            if field.name != "signals":
                chosen[field.name] = None if values is None else values[people]
        return Poses(**chosen)
