"""The people of one frame of a film, as following them needs them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class FramePeople:
    """N people of one frame, K joints.

    Attributes:
        time: seconds from the film's first frame.
        bboxes: (N, 4) float64 [x, y, w, h], pixels of the upright image.
        sure: (N,) bool, people of whom the models are sure enough to begin a track with.
        keypoints: (N, K, 2) float64, pixels of the upright image.
        located: (N, K) bool, joints whose place is known well enough to compare (v > 0).
    """

    time: float
    bboxes: np.ndarray
    sure: np.ndarray
    keypoints: np.ndarray
    located: np.ndarray

    def __len__(self) -> int:
        return len(self.bboxes)

    @property
    def boxes(self) -> np.ndarray:
        """(N, 4) float64 [centre x, centre y, w, h]."""
        return centred(self.bboxes)


def centred(bboxes: np.ndarray) -> np.ndarray:
    """(N, 4) [x, y, w, h] -> (N, 4) [centre x, centre y, w, h]."""
    return np.concatenate([bboxes[:, :2] + bboxes[:, 2:] / 2, bboxes[:, 2:]], axis=1)
