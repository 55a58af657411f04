"""A person who stands upright and faces the camera: where joints go of whom nothing is known yet."""

from __future__ import annotations

import numpy as np

from annotator.skeletons import Skeleton

# In percent of a square.
_PLACES = {
    "nose": (50, 10), "left_eye": (54, 7), "right_eye": (46, 7), "left_ear": (58, 9), "right_ear": (42, 9),
    "left_shoulder": (64, 24), "right_shoulder": (36, 24), "left_elbow": (72, 39), "right_elbow": (28, 39),
    "left_wrist": (76, 53), "right_wrist": (24, 53), "left_hip": (59, 54), "right_hip": (41, 54),
    "left_knee": (60, 75), "right_knee": (40, 75), "left_ankle": (61, 95), "right_ankle": (39, 95),
}  # fmt: skip


def standing(skeleton: Skeleton) -> np.ndarray:
    """Where the joints stand in a square: (K, 2) float64 in [0, 1], x right, y down.

    Joints of COCO's names stand as in a body; where a skeleton has any other, all go evenly on a circle.
    """
    if all(name in _PLACES for name in skeleton.keypoints):
        return np.array([_PLACES[name] for name in skeleton.keypoints]) / 100
    angles = np.linspace(0, 2 * np.pi, len(skeleton), endpoint=False)
    return np.stack([0.5 + 0.42 * np.sin(angles), 0.5 - 0.42 * np.cos(angles)], axis=1)


def standing_in(box: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The same joints (K, 2) float64 in a box [x, y, w, h], a twentieth from its edges; in its units."""
    places = standing(skeleton)
    low, high = places.min(axis=0), places.max(axis=0)
    shares = 0.05 + 0.9 * (places - low) / np.where(high > low, high - low, 1)
    return np.asarray(box[:2]) + shares * np.asarray(box[2:])
