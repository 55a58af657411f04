"""Signals of each person of an image, from poses and what the models left beside them; no further passes.

What each is worth was measured on labelled photos: docs/quality.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from annotator.people import Poses, Signals
from annotator.pose.boxes import iou_matrix, xywh_to_xyxy
from annotator.pose.oks import best_first, joint_similarity, nms_areas, oks_between, suppressed
from annotator.quality.anatomy import bone_outliers, likely_swap
from annotator.skeletons import Skeleton

# OKS with a better person above which a person is that one again: right for 76 of 77 people shown of COCO
# photos, for 5 of 14 in crowds with exact boxes (the others are poses that slipped onto a neighbour).
DUPLICATE_OKS = 0.4
# MMPose's `nms_thr`.
NMS_OKS = 0.9
# Of those below it, one in 72 is a labelled person (RTMDet-nano and TinyPose on COCO photos).
PHANTOM_BELOW = 0.3


def measured(
    poses: Poses,
    skeleton: Skeleton,
    input_size: tuple[int, int] | None,
    *,
    nms: Literal["flag", "drop"] = "flag",
    phantom_below: float = PHANTOM_BELOW,
) -> Poses:
    """The people of one image with their signals.

    Args:
        input_size: (width, height) of a top-down network's input; None for models that see whole images.
        nms: "drop" leaves out those whom OKS-NMS suppresses; the signals are then of those who stay.
    """
    signals = measure(poses, skeleton, input_size, phantom_below)
    if nms == "drop" and signals.nms_suppressed.any():
        poses = poses.of(~signals.nms_suppressed)
        signals = measure(poses, skeleton, input_size, phantom_below)
    return replace(poses, signals=signals)


def measure(
    poses: Poses,
    skeleton: Skeleton,
    input_size: tuple[int, int] | None = None,
    phantom_below: float = PHANTOM_BELOW,
) -> Signals:
    """Signals of the people of one image. Arguments as of `measured`."""
    corners = xywh_to_xyxy(poses.bboxes)
    pose_score = poses.keypoint_scores.mean(axis=1)
    person_score = (poses.bbox_scores + pose_score) / 2
    sigmas = np.array(skeleton.sigmas)
    areas = poses.bboxes[:, 2] * poses.bboxes[:, 3]
    duplicate_of, duplicate_oks = _duplicates(oks_between(poses.keypoints, areas, sigmas), poses.scores)
    in_nms = oks_between(poses.keypoints, nms_areas(poses.bboxes, poses.keypoints, input_size), sigmas)
    outside = (poses.keypoints < corners[:, None, :2]) | (poses.keypoints > corners[:, None, 2:])
    flip = None
    if poses.halves is not None:
        flip = joint_similarity(poses.halves[:, 0], poses.halves[:, 1], areas, sigmas).astype(np.float32)
        # In a cascade, one of the models may be without a flip test.
        flip[np.isnan(poses.halves).any(axis=(1, 2, 3))] = np.nan
    return Signals(
        pose_score=pose_score.astype(np.float32),
        person_score=person_score.astype(np.float32),
        max_iou=_max_iou(corners),
        duplicate_of=duplicate_of,
        duplicate_oks=duplicate_oks,
        nms_suppressed=suppressed(in_nms, poses.scores, NMS_OKS),
        joints_outside_box=outside.any(axis=-1).sum(axis=1, dtype=np.int32),
        likely_phantom=person_score < phantom_below,
        entropy=_weighted(poses.keypoint_entropies, poses.keypoint_scores),
        flip_oks=None if flip is None else flip.mean(axis=1),
        keypoint_flip_oks=flip,
        bone_outliers=bone_outliers(poses.keypoints, skeleton),
        likely_swap=likely_swap(poses.keypoints, poses.halves, skeleton),
    )


def _duplicates(similarity: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each person the better one it most resembles, (N,) int32, -1 below the limit, and their OKS."""
    order = best_first(scores)
    better = np.tril(similarity[np.ix_(order, order)], -1)
    nearest = better.argmax(axis=1) if len(order) else np.empty(0, np.int64)
    oks, of = np.empty(len(order), np.float32), np.empty(len(order), np.int32)
    oks[order] = better[np.arange(len(order)), nearest]
    of[order] = order[nearest]
    return np.where(oks > DUPLICATE_OKS, of, -1).astype(np.int32), oks


def _max_iou(corners: np.ndarray) -> np.ndarray:
    overlap = iou_matrix(corners, corners)
    np.fill_diagonal(overlap, 0)
    return overlap.max(axis=1, initial=0).astype(np.float32)


def _weighted(values: np.ndarray | None, weights: np.ndarray) -> np.ndarray | None:
    """Mean (N,) float32 of (N, K) values by positive weights; the plain mean where no weight is positive."""
    if values is None:
        return None
    positive = np.maximum(weights, 0)
    total = positive.sum(axis=1)
    mean = (values * positive).sum(axis=1) / np.where(total > 0, total, 1)
    return np.where(total > 0, mean, values.mean(axis=1)).astype(np.float32)
