"""Fits a calibration on labelled people, and says how well it holds on images that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotator.errors import UserError
from annotator.quality.labelled import Labelled
from annotator.quality.sample import Sample
from annotator.skeletons import Skeleton

BINS = 10
FOLDS = 5
# Below this the curve says more about chance than about the model.
LEAST_JOINTS = 200
# A type of joint with so many labels counts as much as the curve of all joints together.
_SHRINKAGE = 100

Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class JointSample(Sample):
    """N labelled joints.

    Attributes:
        scores: (N,) float64, raw.
        right: (N,) bool.
        joints: (N,) int64, which joint of the skeleton.
    """

    scores: np.ndarray
    right: np.ndarray
    joints: np.ndarray


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often joints of a given confidence are right.

    Attributes:
        ece: expected calibration error: mean distance of confidence and share right, over all joints.
        confidence, right, count: (B,) of each bin of equal width: means, and joints in it.
        auroc: of confidence for telling right joints from wrong ones; NaN when all are alike.
    """

    ece: float
    confidence: np.ndarray
    right: np.ndarray
    count: np.ndarray
    auroc: float


def sample_of(labelled: Labelled, keypoint_scores: np.ndarray) -> JointSample:
    """The labelled joints of matched people.

    Args:
        keypoint_scores: (N, K) raw scores of the same people.
    """
    person, joint = np.nonzero(labelled.known)
    return JointSample(
        scores=keypoint_scores[person, joint].astype(np.float64),
        right=labelled.right[person, joint],
        joints=joint,
        images=labelled.images[person],
    )


def fit(sample: JointSample, skeleton: Skeleton) -> tuple[Curve, ...]:
    """A curve for each joint, left and right alike, drawn towards that of all joints where labels are few.

    Raises:
        UserError: too few labelled joints.
    """
    if len(sample) < LEAST_JOINTS:
        raise UserError(
            f"{len(sample)} labelled joints are too few to calibrate on; it takes {LEAST_JOINTS} at least"
        )
    grid = _knots(sample.scores)
    everyone = _isotonic(sample.scores, sample.right, grid)
    curves: dict[int, Curve] = {}
    for joint, mirrored in enumerate(skeleton.flip_indices):
        kind = min(joint, mirrored)
        if kind not in curves:
            mine = np.isin(sample.joints, (joint, mirrored))
            weight = mine.sum() / (mine.sum() + _SHRINKAGE)
            own = _isotonic(sample.scores[mine], sample.right[mine], grid) if mine.any() else everyone
            curves[kind] = (grid, weight * own + (1 - weight) * everyone)
    return tuple(curves[min(pair)] for pair in enumerate(skeleton.flip_indices))


def cross_validated(sample: JointSample, skeleton: Skeleton, folds: int = FOLDS) -> np.ndarray:
    """Probabilities (M,) of all joints, each by curves that were fitted without its image.

    Raises:
        UserError: too few images or joints.
    """
    from sklearn.model_selection import GroupKFold

    if len(np.unique(sample.images)) < folds:
        raise UserError(f"fewer than {folds} images with labelled people: too few to calibrate on")
    probs = np.empty(len(sample))
    splitter = GroupKFold(folds, shuffle=True, random_state=0)
    for known, held_out in splitter.split(sample.scores, sample.right, sample.images):
        curves = fit(sample.of(known), skeleton)
        probs[held_out] = _apply(curves, sample.of(held_out))
    return probs


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Reliability:
    """Compare confidence with truth in bins of equal width (Guo et al. 2017).

    Args:
        confidence: (M,); below 0 and above 1 counts as 0 and 1. right: (M,) bool.
    """
    inside = np.clip(confidence, 0, 1)
    place = np.minimum((inside * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    some = np.maximum(count, 1)
    mean = np.bincount(place, inside, bins) / some
    share = np.bincount(place, right, bins) / some
    ece = float((count * np.abs(mean - share)).sum() / max(len(right), 1))
    return Reliability(ece, mean, share, count, auroc(confidence, right))


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive one has the higher score (Mann and Whitney), ties by half; NaN without both."""
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((ranks[place][positive].sum() - n * (n + 1) / 2) / (n * m))


def _apply(curves: tuple[Curve, ...], sample: JointSample) -> np.ndarray:
    probs = np.empty(len(sample))
    for joint, (scores, values) in enumerate(curves):
        mine = sample.joints == joint
        probs[mine] = np.interp(sample.scores[mine], scores, values)
    return probs


def _knots(scores: np.ndarray, most: int = 64) -> np.ndarray:
    """Ascending scores between which curves are straight: quantiles, so that they lie where the data does."""
    return np.unique(np.quantile(scores, np.linspace(0, 1, most)))


def _isotonic(scores: np.ndarray, right: np.ndarray, grid: np.ndarray) -> np.ndarray:
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    return np.clip(model.fit(scores, right.astype(np.float64)).predict(grid), 0, 1)
