"""Object keypoint similarity, NMS by it, and the score of a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from annotator.pose.boxes import crop_areas

# Rows of a similarity matrix made at once.
_BLOCK = 64

ScoreMode = Literal["bbox_keypoint", "keypoint", "bbox", "bbox_rle"]


def oks_matrix(
    keypoints: np.ndarray,
    areas: np.ndarray | None,
    others: np.ndarray,
    other_areas: np.ndarray,
    sigmas: np.ndarray,
    counted: np.ndarray | None = None,
) -> np.ndarray:
    """Similarity of each person to each other one: exp(-d^2 / (2 s^2 k^2)), mean over joints, k = 2 sigma.

    The definition of COCO's keypoint evaluation, where s^2 is the area of the ground truth. Between two
    predictions it is the mean of both areas, as in MMPose's `oks_iou`.

    Args:
        keypoints: (N, K, 2), others: (M, K, 2), pixels of one image.
        areas: (N,), other_areas: (M,), square pixels. Without areas, the others are the ground truth.
        sigmas: (K,) of the skeleton.
        counted: (N, M, K) bool: joints that take part; None takes all.

    Returns:
        (N, M) float64 in [0, 1]; 0 where no joint takes part or a coordinate is NaN.
    """
    keypoints, others = np.asarray(keypoints, np.float64), np.asarray(others, np.float64)
    variances = (np.asarray(sigmas, np.float64) * 2) ** 2
    size = np.asarray(other_areas, np.float64)[None]
    if areas is not None:
        size = (np.asarray(areas, np.float64)[:, None] + size) / 2
    size = size + np.spacing(1)
    square = ((keypoints[:, None] - others[None]) ** 2).sum(axis=-1)
    similarity = np.exp(-(square / variances / size[..., None] / 2))
    if counted is None:
        joints = max(similarity.shape[-1], 1)
        mean = similarity.sum(axis=-1) / joints
    else:
        joints = counted.sum(axis=-1)
        mean = np.where(counted, similarity, 0).sum(axis=-1) / np.maximum(joints, 1)
    return np.nan_to_num(mean, nan=0.0)


def oks_nms(
    keypoints: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    sigmas: np.ndarray,
    threshold: float = 0.9,
    keypoint_scores: np.ndarray | None = None,
    visible_above: float | None = None,
) -> np.ndarray:
    """Greedy NMS, as MMPose's: the best person removes those whose OKS with it exceeds the threshold.

    Args:
        keypoints: (N, K, 2), scores: (N,), areas: (N,), all of one image.
        sigmas: (K,).
        keypoint_scores, visible_above: (N, K) and a limit: only joints above it on both sides count.

    Returns:
        Indices of those kept, best first, int64. Of equal scores the later goes first, as in MMPose; a score
        that is not a number ranks last.
    """
    similarity = _between(keypoints, areas, sigmas, keypoint_scores, visible_above)
    return _greedy(similarity, scores, threshold)


def nms_areas(bboxes: np.ndarray, keypoints: np.ndarray, input_size: Sequence[int] | None) -> np.ndarray:
    """People's size in `oks_nms`, as MMPose has it: the area of their crop, or of the extent of all joints.

    Args:
        bboxes: (N, 4) [x, y, w, h], keypoints: (N, K, 2), pixels of the image.
        input_size: (width, height) of a top-down network's input; None for models that see whole images.

    Returns:
        (N,) float64, square pixels.
    """
    if input_size is None:
        return np.ptp(np.asarray(keypoints, np.float64), axis=1).prod(axis=1)
    return crop_areas(np.asarray(bboxes, np.float64)[:, 2:], input_size[0] / input_size[1])


def suppressed(similarity: np.ndarray, scores: np.ndarray, threshold: float = 0.9) -> np.ndarray:
    """Whom `oks_nms` removes, (N,) bool, from the people's similarity (`oks_between`) and scores."""
    removed = np.ones(len(scores), bool)
    removed[_greedy(similarity, scores, threshold)] = False
    return removed


def best_first(scores: np.ndarray) -> np.ndarray:
    """The order in which `oks_nms` takes people: (N,) scores -> (N,) int64."""
    return _best_first(_ranked(scores))


def oks_between(keypoints: np.ndarray, areas: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Similarity of all people of one image to each other, as MMPose's `oks_iou`: (N, N) float32.

    Arguments as of `oks_matrix`; in blocks, so that a crowd of thousands fits in memory.
    """
    similarity = np.empty((len(keypoints), len(keypoints)), np.float32)
    for start in range(0, len(keypoints), _BLOCK):
        rows = slice(start, start + _BLOCK)
        similarity[rows] = oks_matrix(keypoints[rows], areas[rows], keypoints, areas, sigmas)
    return similarity


def joint_similarity(
    keypoints: np.ndarray, others: np.ndarray, areas: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """The terms of OKS between two poses of the same people, joint by joint.

    Args:
        keypoints, others: (N, K, 2) pixels.
        areas: (N,) square pixels.
        sigmas: (K,).

    Returns:
        (N, K) float64 in [0, 1]; 0 where a coordinate is NaN.
    """
    square = ((np.asarray(keypoints, np.float64) - others) ** 2).sum(axis=-1)
    spread = (2 * np.asarray(sigmas, np.float64)) ** 2 * (np.asarray(areas)[:, None] + np.spacing(1))
    return np.nan_to_num(np.exp(-square / spread / 2), nan=0.0)


def soft_oks_nms(
    keypoints: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    sigmas: np.ndarray,
    threshold: float = 0.9,
    max_people: int = 20,
    keypoint_scores: np.ndarray | None = None,
    visible_above: float | None = None,
) -> np.ndarray:
    """Soft NMS (Bodla et al. 2017), as MMPose's: scores fall by exp(-OKS^2 / threshold); max_people stay.

    Arguments and result as of `oks_nms`.
    """
    similarity = _between(keypoints, areas, sigmas, keypoint_scores, visible_above)
    current = _ranked(scores)
    order = _best_first(current)
    current = current[order]
    keep = []
    while len(order) and len(keep) < max_people:
        best, rest = order[0], order[1:]
        keep.append(best)
        current = current[1:] * np.exp(-(similarity[best, rest] ** 2) / threshold)
        again = _best_first(current)
        order, current = rest[again], current[again]
    return np.asarray(keep, np.int64)


def instance_score(
    bbox_scores: np.ndarray,
    keypoint_scores: np.ndarray,
    mode: ScoreMode = "bbox_keypoint",
    threshold: float = 0.2,
) -> np.ndarray:
    """The score of each person, as MMPose's `CocoMetric` has it.

    Args:
        bbox_scores: (N,).
        keypoint_scores: (N, K). A score that is not finite counts as 0.
        mode: "bbox_keypoint": bbox score x mean of the keypoint scores above the threshold, 0 if none is;
            "keypoint": mean of all; "bbox"; "bbox_rle": bbox score + mean + maximum.

    Returns:
        (N,) float32.
    """
    bbox = np.asarray(bbox_scores, np.float64)
    scores = np.asarray(keypoint_scores, np.float64)
    scores = np.where(np.isfinite(scores), scores, 0.0)
    mean = scores.sum(axis=1) / max(scores.shape[1], 1)
    if mode == "bbox":
        result = bbox
    elif mode == "keypoint":
        result = mean
    elif mode == "bbox_rle":
        result = bbox + mean + (scores.max(axis=1) if scores.shape[1] else 0.0)
    elif mode == "bbox_keypoint":
        # In their own precision: 0.2 in float32 is not above 0.2.
        good = np.isfinite(keypoint_scores) & (np.asarray(keypoint_scores) > threshold)
        result = bbox * np.where(good, scores, 0.0).sum(axis=1) / np.maximum(good.sum(axis=1), 1)
    else:
        raise ValueError(f"unknown score mode {mode!r}")
    return result.astype(np.float32)


def _greedy(similarity: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    order = best_first(scores)
    keep = []
    while len(order):
        best, rest = order[0], order[1:]
        keep.append(best)
        order = rest[similarity[best, rest] <= threshold]
    return np.asarray(keep, np.int64)


def _between(
    keypoints: np.ndarray,
    areas: np.ndarray,
    sigmas: np.ndarray,
    keypoint_scores: np.ndarray | None,
    visible_above: float | None,
) -> np.ndarray:
    counted = None
    if visible_above is not None:
        if keypoint_scores is None:
            raise ValueError("visible_above needs keypoint_scores")
        seen = np.asarray(keypoint_scores) > visible_above
        counted = seen[:, None] & seen[None]
    # MMPose compares in float32.
    return oks_matrix(keypoints, areas, keypoints, areas, sigmas, counted).astype(np.float32)


def _ranked(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores)
    return np.where(np.isnan(scores), -np.inf, scores)


def _best_first(scores: np.ndarray) -> np.ndarray:
    return np.argsort(scores, kind="stable")[::-1]
