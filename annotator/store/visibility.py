"""Visibility policies: from scores and coordinates to COCO's v, with a name that goes into the files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class VisibilityPolicy(Protocol):
    """Decides v of each joint; its name and settings travel in the metadata of the rows."""

    def __call__(self, keypoints: np.ndarray, scores: np.ndarray, width: int, height: int) -> np.ndarray:
        """v in {0, 1, 2}, (N, K) int8, from (N, K, 2) pixels and (N, K) raw scores of one upright image."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form with a `policy` name."""
        ...


@dataclass(frozen=True, slots=True)
class ScoreThresholds:
    """v by the keypoint's raw score alone: a convention, not a measurement of occlusion.

    v = 2 from `visible` on, v = 1 from `hidden` on (located, likely hidden), v = 0 below, and v = 0 wherever
    the joint lies outside the image. The pixels of an image W wide cover [-0.5, W - 0.5) in x, likewise in y.
    """

    visible: float = 0.3
    hidden: float = 0.05

    def __call__(self, keypoints: np.ndarray, scores: np.ndarray, width: int, height: int) -> np.ndarray:
        v = (scores >= self.hidden).astype(np.int8) + (scores >= self.visible)
        inside = (keypoints >= -0.5).all(axis=-1) & (keypoints < np.array([width, height]) - 0.5).all(axis=-1)
        return np.where(inside, v, 0).astype(np.int8)

    def to_dict(self) -> dict[str, Any]:
        return {
            "policy": "score-thresholds",
            "visible": self.visible,
            "hidden": self.hidden,
            "outside_image": 0,
        }
