"""Keypoints of many people as displacements from their centres: DEKR (Geng et al. 2021).

Written from the behaviour of MMPose's `SPR` codec and `nearby_joints_nms`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class CenterRegression:
    """Parameters of the codec.

    Attributes:
        scale: (x, y) input pixels a cell of the maps.
        nms_kernel: odd, in cells; a person's centre is the maximum of this neighbourhood.
        threshold: value of the centre heatmap above which there is a person.
        max_people: the best centres.
    """

    scale: tuple[float, float]
    nms_kernel: int = 5
    threshold: float = 0.01
    max_people: int = 30

    def decode(self, heatmaps: Tensor, displacements: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The people of one image, before suppression.

        Args:
            heatmaps: (K + 1, H, W) float32; the last one is that of the centres.
            displacements: (2K, H, W) float32, x and y of each joint from the cell, in cells.

        Returns:
            keypoints: (N, K, 2), input pixels.
            keypoint_scores: (N, K), heatmap values at the joints.
            center_scores: (N,), best first.
            All float32 on the maps' device.
        """
        k = len(heatmaps) - 1
        _, h, w = heatmaps.shape
        centers = heatmaps[-1:]
        highest = functional.max_pool2d(
            centers[None], self.nms_kernel, stride=1, padding=(self.nms_kernel - 1) // 2
        )[0]
        scores, at = (centers * (centers == highest)).flatten().topk(min(self.max_people, h * w))
        scores, at = scores[scores > self.threshold], at[scores > self.threshold]

        cell = torch.stack([at % w, torch.div(at, w, rounding_mode="floor")], dim=-1).to(heatmaps)  # (N, 2)
        keypoints = cell[:, None] + displacements.view(k, 2, h * w)[:, :, at].permute(2, 0, 1)
        keypoint_scores = _sample(heatmaps[:k], keypoints)
        scale = torch.tensor(self.scale, dtype=torch.float32, device=keypoints.device)
        return keypoints * scale, keypoint_scores, scores


def _sample(heatmaps: Tensor, points: Tensor) -> Tensor:
    """Heatmaps (K, H, W) at points (N, K, 2) in cells, interpolated as MMPose does: (N, K)."""
    k, h, w = heatmaps.shape
    if not len(points):
        return points.new_zeros((0, k))
    # Coordinates for aligned corners, sampling without: a slight shrinkage that models were trained with.
    last = torch.tensor([w - 1, h - 1], device=points.device, dtype=points.dtype)
    grid = (points / last * 2 - 1).transpose(0, 1)[:, None]
    values = functional.grid_sample(heatmaps[:, None], grid, padding_mode="border", align_corners=False)
    return values.view(k, -1).transpose(0, 1)


def nearby_joints_nms(
    keypoints: np.ndarray,
    scores: np.ndarray,
    distance: float = 0.05,
    joints: int | None = None,
    max_people: int = 30,
) -> np.ndarray:
    """Of people who share most of their joints, the best.

    Args:
        keypoints: (N, K, 2), pixels.
        scores: (N,).
        distance: joints closer than this share of the diagonal of a person's extent are shared.
        joints: people who share more than this many are the same; by default half of the joints.
        max_people: at most so many, best first; 0 for all.

    Returns:
        (M,) int64 indices of those kept.
    """
    if not len(keypoints):
        return np.zeros(0, np.int64)
    joints = keypoints.shape[1] // 2 if joints is None else joints
    extent = np.sqrt(np.power(keypoints.max(axis=1) - keypoints.min(axis=1), 2).sum(axis=1))
    apart = np.sqrt(np.power(keypoints[:, None] - keypoints, 2).sum(axis=3))
    same = (apart < extent[:, None, None] * distance).sum(axis=2) > joints
    # Somebody without extent would not even be the same as himself.
    np.fill_diagonal(same, True)
    ignored = np.zeros(len(scores), bool)
    keep: list[int] = []
    for person in np.argsort(scores)[::-1]:
        if ignored[person]:
            continue
        group = np.flatnonzero(same[person])
        best = group[np.argmax(scores[group])]
        if not ignored[best]:
            keep.append(best)
            ignored[group] = True
    kept = np.array(keep, np.int64)
    if max_people > 0 and len(kept) > max_people:
        kept = kept[np.argsort(scores[kept])[::-1][:max_people]]
    return kept
