"""The people of one image as the models hand them on: boxes first, then poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
class Poses:
    """People of one image with their keypoints, in the order of their boxes.

    Attributes:
        bboxes: (N, 4) float64, [x, y, w, h] in pixels of the upright image (COCO's order, as stored).
        bbox_scores: (N,) float32.
        keypoints: (N, K, 2) float32, pixels of the upright image, x right, y down.
        keypoint_scores: (N, K) float32, the model's raw scores (heatmap maxima may exceed 1).
        scores: (N,) float32, the score of the instance.
    """

    bboxes: np.ndarray
    bbox_scores: np.ndarray
    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.bboxes)
        others = (self.bbox_scores, self.keypoints, self.keypoint_scores, self.scores)
        if any(len(array) != n for array in others):
            raise ValueError("bboxes, scores and keypoints differ in length")

    def __len__(self) -> int:
        return len(self.bboxes)
