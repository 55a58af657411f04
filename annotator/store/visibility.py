"""Visibility policies: from poses and what speaks for and against their joints to COCO's v.

The policy's name and settings go into the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from annotator.people import Poses
from annotator.pose.occlusion import border_distance, covered, truncation
from annotator.skeletons import Skeleton


class VisibilityPolicy(Protocol):
    """Decides v of each joint; its name and settings travel in the metadata of the rows."""

    def __call__(self, poses: Poses, width: int, height: int) -> np.ndarray:
        """v in {0, 1, 2}, (N, K) int8, of the people of one upright image, its size in pixels."""
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

    def __call__(self, poses: Poses, width: int, height: int) -> np.ndarray:
        v = (poses.keypoint_scores >= self.hidden).astype(np.int8) + (poses.keypoint_scores >= self.visible)
        return np.where(_inside(poses.keypoints, width, height), v, 0).astype(np.int8)

    def to_dict(self) -> dict[str, Any]:
        return {
            "policy": "score-thresholds",
            "visible": self.visible,
            "hidden": self.hidden,
            "outside_image": 0,
        }


EVIDENCE = (
    "score", "score_squared", "person_score", "mirror_score", "entropy", "flip_agreement", "covered",
    "border_distance", "at_cut_side", "outside_box", "mirror_distance",
)  # fmt: skip


def evidence(poses: Poses, skeleton: Skeleton, width: int, height: int) -> np.ndarray:
    """What v is decided from: (N, K, F) float64, F as in `EVIDENCE`; NaN where the model tells nothing.

    Scores and entropies are the model's own; distances are shares of the height of the person's box.
    """
    scores = np.asarray(poses.keypoint_scores, np.float64)
    keypoints = np.asarray(poses.keypoints, np.float64)
    n, joints = scores.shape
    unknown = np.full((n, joints), np.nan)
    signals = poses.signals
    flip = None if signals is None else signals.keypoint_flip_oks
    solid = np.ones(n, bool)
    if signals is not None:
        solid = ~signals.likely_phantom & ~signals.nms_suppressed & (signals.duplicate_of < 0)
    heights = np.maximum(poses.bboxes[:, 3], 1e-9)
    mirror = np.array(skeleton.flip_indices)
    low, high = poses.bboxes[:, None, :2], poses.bboxes[:, None, :2] + poses.bboxes[:, None, 2:]
    columns = (
        scores,
        scores**2,
        np.repeat(scores.mean(axis=1, keepdims=True), joints, axis=1),
        scores[:, mirror],
        unknown if poses.keypoint_entropies is None else poses.keypoint_entropies,
        unknown if flip is None else flip,
        covered(keypoints, poses.bboxes, skeleton.edges, solid),
        np.clip(border_distance(keypoints, heights, width, height), -0.1, 0.3),
        _at_cut_side(keypoints, poses.bboxes, width, height),
        ((keypoints < low) | (keypoints > high)).any(axis=-1),
        np.linalg.norm(keypoints - keypoints[:, mirror], axis=-1) / heights[:, None],
    )
    return np.stack(columns, axis=-1).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Evidence:
    """v by multinomial logistic regression on `evidence`, fitted where the truth is known.

    Wherever the joint lies outside the image, v = 0.

    Attributes:
        skeleton: of the poses.
        mean, spread: (F,), by which evidence is brought to one scale; what is missing counts as the mean.
        weights: (K, F + 1, 3), for each joint the weights of its evidence and of 1, for v = 0, 1 and 2.
        about: what it was fitted on, and its name; goes into the files.
    """

    skeleton: Skeleton
    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    about: Mapping[str, Any]

    def __call__(self, poses: Poses, width: int, height: int) -> np.ndarray:
        v = self.decide(evidence(poses, self.skeleton, width, height))
        return np.where(_inside(poses.keypoints, width, height), v, 0).astype(np.int8)

    def decide(self, values: np.ndarray) -> np.ndarray:
        """The likeliest v, (N, K) int8, of evidence (N, K, F)."""
        scaled = np.nan_to_num((values - self.mean) / self.spread, nan=0.0)
        logits = np.einsum("nkf,kfv->nkv", scaled, self.weights[:, :-1]) + self.weights[:, -1]
        return logits.argmax(axis=-1).astype(np.int8)

    def to_dict(self) -> dict[str, Any]:
        return {"policy": "evidence", "evidence": list(EVIDENCE), "outside_image": 0, **self.about}


def _inside(keypoints: np.ndarray, width: int, height: int) -> np.ndarray:
    low = (keypoints >= -0.5).all(axis=-1)
    return np.asarray(low & (keypoints < np.array([width, height]) - 0.5).all(axis=-1))


def _at_cut_side(keypoints: np.ndarray, bboxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """(N, K) bool: joints within a tenth of the box of a side on which the image cuts the person off."""
    low, high = bboxes[:, None, :2], bboxes[:, None, :2] + bboxes[:, None, 2:]
    near = 0.1 * bboxes[:, None, 2:]
    at = np.concatenate([keypoints < low + near, keypoints > high - near], axis=-1)
    return np.asarray((at & truncation(bboxes, width, height)[:, None]).any(axis=-1))
