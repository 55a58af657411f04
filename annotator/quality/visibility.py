"""Fits the visibility policy `evidence` where the truth is known, and compares policies by what they find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotator.people import Poses
from annotator.quality.labelled import Labelled
from annotator.quality.sample import Sample
from annotator.skeletons import Skeleton
from annotator.store.reader import Run
from annotator.store.results import stored_results
from annotator.store.visibility import EVIDENCE, Evidence, VisibilityPolicy, evidence

FOLDS = 5
# Strength of the pull towards zero: few labels a joint.
_REGULARITY = 0.5
# Intercept of a v that the truth does not have.
_NEVER = -1e9
NAMES = ("outside or not labelled", "hidden", "visible")


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibilitySample(Sample):
    """N matched people of labelled images, K joints.

    Attributes:
        values: (N, K, F) float64, `store.visibility.evidence`.
        inside: (N, K) bool, whether the predicted joint lies in the image; outside, every policy says 0.
        truth: (N, K) int8, v of the ground truth.
        baseline: (N, K) int8, v as the run's own policy had it.
    """

    values: np.ndarray
    inside: np.ndarray
    truth: np.ndarray
    baseline: np.ndarray


@dataclass(frozen=True, slots=True)
class Found:
    """How well one kind of joint is told: share of those named that are, and of those that are named."""

    precision: float
    recall: float
    joints: int


def visibility_sample(run: Run, labelled: Labelled, baseline: VisibilityPolicy) -> VisibilitySample:
    """The matched people of a run.

    Args:
        labelled: beside a ground truth whose v is to be believed.
    """
    skeleton = run.skeleton
    shape = (0, len(skeleton))
    values, inside = [np.zeros((*shape, len(EVIDENCE)))], [np.zeros(shape, bool)]
    plain = [np.zeros(shape, np.int8)]
    for shard in run.committed():
        for stored in stored_results(run, shard):
            poses = stored.result
            if not isinstance(poses, Poses) or stored.size is None or not len(poses):
                continue
            found = evidence(poses, skeleton, *stored.size)
            values.append(found)
            inside.append(found[..., EVIDENCE.index("border_distance")] >= 0)
            plain.append(baseline(poses, *stored.size))
    told = labelled.matched & labelled.judged
    return VisibilitySample(
        values=np.concatenate(values)[told],
        inside=np.concatenate(inside)[told],
        truth=labelled.visibility[told],
        baseline=np.concatenate(plain)[told],
        images=labelled.images[told],
    )


def fit_visibility(sample: VisibilitySample, skeleton: Skeleton, about: dict[str, Any]) -> Evidence:
    """Fit the policy: shared weights of all evidence, and each type of joint its own of score and flip.

    A v that the truth does not have is never decided on.
    """
    flat = sample.values.reshape(-1, len(EVIDENCE))
    known = np.isfinite(flat)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, flat, 0).sum(axis=0) / count
    spread = np.maximum(np.sqrt(np.where(known, (flat - mean) ** 2, 0).sum(axis=0) / count), 1e-6)
    scaled = np.nan_to_num((sample.values - mean) / spread, nan=0.0)
    kinds, kind_of = np.unique([min(pair) for pair in enumerate(skeleton.flip_indices)], return_inverse=True)
    rows = np.concatenate([_design(scaled[:, k], kind_of[k], len(kinds)) for k in range(len(kind_of))])
    learned = _learned(rows, sample.truth.T.reshape(-1))
    return Evidence(skeleton, mean, spread, _unfolded(learned, kind_of, len(kinds)), about)


def cross_validated_visibility(sample: VisibilitySample, skeleton: Skeleton) -> np.ndarray:
    """v (N, K) int8 of all people, each by a policy that was fitted without its image."""
    from sklearn.model_selection import GroupKFold

    v = np.zeros(sample.truth.shape, np.int8)
    splits = GroupKFold(FOLDS, shuffle=True, random_state=0).split(sample.truth, groups=sample.images)
    for known, held_out in splits:
        decided = fit_visibility(sample.of(known), skeleton, {}).decide(sample.values[held_out])
        v[held_out] = np.where(sample.inside[held_out], decided, 0)
    return v


def told_apart(v: np.ndarray, truth: np.ndarray) -> dict[str, Found]:
    """Precision and recall of outside, hidden and visible joints, by the names of `NAMES`."""
    result = {}
    for value, name in enumerate(NAMES):
        right = int(((v == value) & (truth == value)).sum())
        named, there = int((v == value).sum()), int((truth == value).sum())
        result[name] = Found(right / max(named, 1), right / max(there, 1), there)
    return result


def _own() -> Sequence[int]:
    """Evidence of which each type of joint has its own weights."""
    return [EVIDENCE.index(name) for name in ("score", "score_squared", "flip_agreement", "mirror_distance")]


def _design(scaled: np.ndarray, kind: int, kinds: int) -> np.ndarray:
    """(N, F + kinds * (own + 1)): all evidence, and that of one's own type in its place."""
    own = np.concatenate([scaled[:, _own()], np.ones((len(scaled), 1))], axis=1)
    mine = np.zeros((len(scaled), kinds, own.shape[1]))
    mine[:, kind] = own
    return np.concatenate([scaled, mine.reshape(len(scaled), -1)], axis=1)


def _learned(rows: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(D + 1, 3) weights of the design (M, D) for v = 0, 1 and 2, the intercept last."""
    from sklearn.linear_model import LogisticRegression

    learned = np.zeros((rows.shape[1] + 1, 3))
    there = np.unique(truth)
    learned[-1] = _NEVER
    learned[-1, there] = 0
    if len(there) > 1:
        model = LogisticRegression(C=_REGULARITY, max_iter=500).fit(rows, truth)
        weights = np.vstack([model.coef_.T, model.intercept_])
        # Of two classes scikit-learn has the weights of the second alone: the first one's are 0.
        learned[:, model.classes_[-weights.shape[1] :]] = weights
    return learned


def _unfolded(learned: np.ndarray, kind_of: np.ndarray, kinds: int) -> np.ndarray:
    """(K, F + 1, 3) weights of each joint from those of the design, the intercept last."""
    f, own = len(EVIDENCE), _own()
    shared, intercept = learned[:f], learned[-1]
    mine = learned[f:-1].reshape(kinds, len(own) + 1, 3)
    weights = np.repeat(np.concatenate([shared, intercept[None]])[None], len(kind_of), axis=0)
    for joint, kind in enumerate(kind_of):
        weights[joint, own] += mine[kind, :-1]
        weights[joint, -1] += mine[kind, -1]
    return weights
