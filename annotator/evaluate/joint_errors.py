"""The four ways in which a joint of a found person is wrong, after Ronchi & Perona (ICCV 2017), section 3.1.

"Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation", https://arxiv.org/abs/1707.05388.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from annotator.evaluate.pairs import Pairs
from annotator.evaluate.predictions import FoundPeople
from annotator.evaluate.truth import TruePeople
from annotator.skeletons import Skeleton

# Similarity of one joint, exp(-d^2 / (2 s^2 k^2)): above the first as good as people, below the second lost.
GOOD_SIMILARITY = 0.85
LOST_SIMILARITY = 0.5


class JointError(IntEnum):
    """What is wrong with a joint."""

    UNJUDGED = -1  # not labelled, or nobody's
    GOOD = 0
    JITTER = 1  # near the right place
    MISS = 2  # near no place that it could be mistaken for
    INVERSION = 3  # at the same person's joint of the other side
    SWAP = 4  # at another person's joint of that kind, of either side


ERRORS = (JointError.JITTER, JointError.MISS, JointError.INVERSION, JointError.SWAP)


@dataclass(frozen=True, slots=True)
class JudgedJoints:
    """The joints of the people found in one image: N people, K joints.

    Attributes:
        errors: (N, K) int8 of `JointError`.
        distances: (N, K) float64, pixels from the labelled place; NaN where unjudged.
        corrected: (N, K, 3) float32, keypoints with every error made milder, along the line to the labelled
            place: a jitter is moved to a similarity of 0.85, a miss to 0.5, an inversion or swap to the
            similarity that it had with the joint it was mistaken for.
    """

    errors: np.ndarray
    distances: np.ndarray
    corrected: np.ndarray

    def without(self, kind: JointError, keypoints: np.ndarray) -> np.ndarray:
        """Keypoints (N, K, 3) in which the errors of one kind are corrected."""
        return np.where((self.errors == kind)[..., None], self.corrected, keypoints)


def judge_joints(truth: TruePeople, found: FoundPeople, pairs: Pairs, skeleton: Skeleton) -> JudgedJoints:
    """Judge every joint of every paired person.

    A joint within 0.85 of its own place is good, whatever else is near. Otherwise the most similar place
    among its own, its mirrored one, and those of other people decides; below 0.5 from all it is missed.
    """
    n, k = found.keypoints.shape[:2]
    errors = np.full((n, k), JointError.UNJUDGED, np.int8)
    distances = np.full((n, k), np.nan)
    corrected = found.keypoints.copy()
    flip = np.array(skeleton.flip_indices)
    constants = (2 * np.array(skeleton.sigmas)) ** 2
    for person in np.flatnonzero(pairs.truth_of >= 0):
        own = pairs.truth_of[person]
        xy = found.keypoints[person, :, :2].astype(np.float64)
        straight = _similarity(xy, truth.keypoints, truth.areas, constants)
        mirrored = _similarity(xy, truth.keypoints[:, flip], truth.areas, constants)
        mirrored[:, flip == np.arange(k)] = 0
        others = np.arange(len(truth)) != own
        swapped = np.maximum(straight, mirrored)[others].max(axis=0, initial=0)
        candidates = np.stack([straight[own], mirrored[own], swapped])
        best = candidates.max(axis=0)
        kind = np.array([JointError.JITTER, JointError.INVERSION, JointError.SWAP])[candidates.argmax(axis=0)]
        kind[best < LOST_SIMILARITY] = JointError.MISS
        kind[straight[own] >= GOOD_SIMILARITY] = JointError.GOOD
        kind[truth.keypoints[own, :, 2] <= 0] = JointError.UNJUDGED
        errors[person] = kind

        place = truth.keypoints[own, :, :2]
        offset = xy - place
        distance = np.hypot(*offset.T)
        distances[person] = np.where(kind == JointError.UNJUDGED, np.nan, distance)
        goal = np.where(
            kind == JointError.JITTER,
            GOOD_SIMILARITY,
            np.where(kind == JointError.MISS, LOST_SIMILARITY, np.clip(best, LOST_SIMILARITY, 1)),
        )
        reach = np.sqrt(-2 * np.log(goal) * constants * truth.areas[own])
        moved = place + offset * (reach / np.maximum(distance, 1e-9))[:, None]
        wrong = np.isin(kind, ERRORS)
        corrected[person, wrong, :2] = moved[wrong]
    return JudgedJoints(errors, distances, corrected)


def _similarity(xy: np.ndarray, places: np.ndarray, areas: np.ndarray, constants: np.ndarray) -> np.ndarray:
    """(M, K): how similar joints (K, 2) are to those of M people (M, K, 3); 0 where not labelled."""
    square = ((places[..., :2] - xy[None]) ** 2).sum(axis=-1)
    similarity = np.exp(-square / (2 * constants * (areas[:, None] + np.spacing(1))))
    return np.where(places[..., 2] > 0, similarity, 0.0)
