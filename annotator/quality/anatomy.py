"""What a body cannot do: bones longer than the others allow, left and right exchanged."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from annotator.skeletons import Skeleton

# Lengths as shares of the stature: Drillis and Contini (1966), as in Winter, "Biomechanics and Motor Control
# of Human Movement". The trunk is from the shoulder's height (0.818) to the hip's (0.530).
_BONES = {
    ("left_shoulder", "right_shoulder"): 0.259,
    ("left_shoulder", "left_hip"): 0.288,
    ("right_shoulder", "right_hip"): 0.288,
    ("left_shoulder", "left_elbow"): 0.186,
    ("right_shoulder", "right_elbow"): 0.186,
    ("left_elbow", "left_wrist"): 0.146,
    ("right_elbow", "right_wrist"): 0.146,
    ("left_hip", "left_knee"): 0.245,
    ("right_hip", "right_knee"): 0.245,
    ("left_knee", "left_ankle"): 0.246,
    ("right_knee", "right_ankle"): 0.246,
}
_ARMS_AND_LEGS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")

# A bone may look shorter than it is, hardly ever longer: so many times the median of all is too long.
_TOO_LONG = 2.0
# Left and right of a joint lie at least this share of the trunk apart before their order means something.
_APART = 0.25


def bone_outliers(keypoints: np.ndarray, skeleton: Skeleton) -> np.ndarray | None:
    """How many bones of each person are too long for the others.

    Args:
        keypoints: (N, K, 2) pixels.

    Returns:
        (N,) int32; None for a skeleton that lacks the names of a body's joints.
    """
    bones = _bones(skeleton.keypoints)
    if bones is None:
        return None
    first, second, shares = bones
    lengths = np.linalg.norm(keypoints[:, first] - keypoints[:, second], axis=-1)
    statures = lengths / shares
    limit = _TOO_LONG * np.median(statures, axis=1, keepdims=True)
    return (statures > limit).sum(axis=1, dtype=np.int32)


def likely_swap(keypoints: np.ndarray, halves: np.ndarray | None, skeleton: Skeleton) -> np.ndarray | None:
    """Whose left and right are probably exchanged.

    Either shoulders and hips face opposite ways, or the halves of the flip test exchange left and right of at
    least two pairs of joints.

    Args:
        keypoints: (N, K, 2) pixels.
        halves: (N, 2, K, 2) pixels, `Poses.halves`.

    Returns:
        (N,) bool; None for a skeleton that lacks the names of a body's joints.
    """
    pairs = _pairs(skeleton.keypoints)
    if pairs is None:
        return None
    left, right = pairs
    trunk = _trunk(keypoints, left, right)
    across = keypoints[:, left] - keypoints[:, right]
    apart = np.linalg.norm(across, axis=-1) > _APART * trunk[:, None]
    shoulder, hip = _ARMS_AND_LEGS.index("shoulder"), _ARMS_AND_LEGS.index("hip")
    opposed = (across[:, shoulder] * across[:, hip]).sum(axis=-1) < 0
    twisted = opposed & apart[:, shoulder] & apart[:, hip]
    if halves is None:
        return twisted
    one, other = halves[:, 0], halves[:, 1]
    same = _distance(one[:, left], other[:, left]) + _distance(one[:, right], other[:, right])
    crossed = _distance(one[:, left], other[:, right]) + _distance(one[:, right], other[:, left])
    undecided = (crossed < same / 2) & (same > 2 * _APART * trunk[:, None])
    return twisted | (undecided.sum(axis=1) >= 2)


def _trunk(keypoints: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(N,) pixels from the middle of the shoulders to that of the hips."""
    middle = (keypoints[:, left] + keypoints[:, right]) / 2
    return _distance(middle[:, _ARMS_AND_LEGS.index("shoulder")], middle[:, _ARMS_AND_LEGS.index("hip")])


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a - b, axis=-1)


@lru_cache
def _bones(names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    place = {name: joint for joint, name in enumerate(names)}
    if any(name not in place for bone in _BONES for name in bone):
        return None
    first, second = (np.array([place[bone[end]] for bone in _BONES]) for end in (0, 1))
    return first, second, np.array(list(_BONES.values()))


@lru_cache
def _pairs(names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray] | None:
    place = {name: joint for joint, name in enumerate(names)}
    if any(f"{side}_{joint}" not in place for side in ("left", "right") for joint in _ARMS_AND_LEGS):
        return None
    left, right = (
        np.array([place[f"{side}_{joint}"] for joint in _ARMS_AND_LEGS]) for side in ("left", "right")
    )
    return left, right
