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
_LIMBS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
_SIDES = ("left", "right")

# A bone may look shorter than it is, hardly ever longer: so many times the median of all is too long. Of true
# poses, none of 51 photographed and 2 of 205 synthetic people have such a bone.
_TOO_LONG = 1.8
# Joints change sides when both together come nearer by this share of the stature; no true pose of the 63 and
# 212 people has a limb of which that could be said (jobs/planted_errors.py; docs/quality.md).
_NEARER = 0.07
# Shares of the stature that shoulders and hips, and eyes, lie apart before their order means something.
_APART = 0.05
_EYES_APART = 0.0125


def bone_outliers(keypoints: np.ndarray, skeleton: Skeleton) -> np.ndarray | None:
    """How many bones of each person are too long for the others.

    Args:
        keypoints: (N, K, 2) pixels; NaN for joints of which nothing is known.

    Returns:
        (N,) int32; None for a skeleton that lacks the names of a body's joints.
    """
    bones = _bones(skeleton.keypoints)
    if bones is None:
        return None
    statures = _statures(keypoints, bones)
    limit = _TOO_LONG * _median(statures)[:, None]
    return (statures > limit).sum(axis=1, dtype=np.int32)


def likely_swap(keypoints: np.ndarray, halves: np.ndarray | None, skeleton: Skeleton) -> np.ndarray | None:
    """Whose left and right are probably exchanged, of the whole body or of a part.

    Any of these: limbs would be much shorter if their ends changed sides; shoulders and hips face opposite
    ways; the eyes look where the shoulders do not; the halves of the flip test would agree much better if a
    joint changed sides in one of them. Lengths are in shares of the stature, the median of what each bone
    makes of it.

    Args:
        keypoints: (N, K, 2) pixels; NaN for joints of which nothing is known.
        halves: (N, 2, K, 2) pixels, `Poses.halves`.

    Returns:
        (N,) bool; None for a skeleton that lacks the names of a body's joints.
    """
    bones = _bones(skeleton.keypoints)
    if bones is None:
        return None
    stature = _median(_statures(keypoints, bones))
    limbs = keypoints[:, _places(skeleton.keypoints, _LIMBS)]
    swapped = _nearer_crossed(limbs[:, :, 0], limbs[:, :, 1], stature)
    if halves is not None:
        joints = halves[:, :, _places(skeleton.keypoints, _ARMS_AND_LEGS)]
        swapped |= _nearer_crossed(joints[:, 0], joints[:, 1], stature)
    return swapped | _faces_two_ways(keypoints, stature, skeleton.keypoints)


def _nearer_crossed(one: np.ndarray, other: np.ndarray, stature: np.ndarray) -> np.ndarray:
    """(N,) bool: whether any of P pairs (N, P, 2 sides, 2) lies much nearer when left goes with right."""
    straight = _distance(one, other).sum(axis=-1)
    crossed = _distance(one, other[:, :, ::-1]).sum(axis=-1)
    return (straight - crossed > _NEARER * stature[:, None]).any(axis=1)


def _faces_two_ways(keypoints: np.ndarray, stature: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """(N,) bool: whether shoulders and hips, or eyes and shoulders, have left and right in opposite order."""
    pairs = keypoints[:, _places(names, ("shoulder", "hip"))]
    shoulders, hips = (pairs[:, n, 0] - pairs[:, n, 1] for n in (0, 1))
    both_apart = np.minimum(_length(shoulders), _length(hips)) > _APART * stature
    twisted = ((shoulders * hips).sum(axis=-1) < 0) & both_apart
    if not {"left_eye", "right_eye"} <= set(names):
        return twisted
    looking = keypoints[:, _places(names, ("eye",))][:, 0]
    # Seen along the neck, so that a head held askew does not matter.
    neck = pairs[:, 0].mean(axis=1) - looking.mean(axis=1)
    neck = neck / np.maximum(_length(neck), 1e-6)[:, None]
    eyes, shoulders = _cross(looking[:, 0] - looking[:, 1], neck), _cross(shoulders, neck)
    facing = (np.abs(eyes) > _EYES_APART * stature) & (np.abs(shoulders) > _APART * stature)
    return twisted | (facing & (eyes * shoulders < 0))


def _statures(keypoints: np.ndarray, bones: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """(N, B) pixels: how tall each bone would make the person."""
    first, second, shares = bones
    return _distance(keypoints[:, first], keypoints[:, second]) / shares


def _median(values: np.ndarray) -> np.ndarray:
    """(N,) median of those of (N, B) that are known; NaN without any."""
    ordered, known = np.sort(values, axis=1), np.isfinite(values).sum(axis=1)
    rows = np.arange(len(values))
    return (ordered[rows, np.maximum(known - 1, 0) // 2] + ordered[rows, known // 2]) / 2


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return _length(a - b)


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


@lru_cache
def _places(names: tuple[str, ...], joints: tuple[str | tuple[str, str], ...]) -> np.ndarray:
    """Places of joints, (P, 2 sides), or of both ends of limbs, (P, 2 ends, 2 sides); left first."""
    ends = [joint if isinstance(joint, tuple) else (joint,) for joint in joints]
    places = np.array([[[names.index(f"{side}_{end}") for side in _SIDES] for end in one] for one in ends])
    return places if places.shape[1] == 2 else places[:, 0]


@lru_cache
def _bones(names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    place = {name: joint for joint, name in enumerate(names)}
    if any(name not in place for bone in _BONES for name in bone):
        return None
    first, second = (np.array([place[bone[end]] for bone in _BONES]) for end in (0, 1))
    return first, second, np.array(list(_BONES.values()))
