"""Keypoints from SimCC: a distribution over x and one over y for each joint (Li et al. 2022; RTMPose)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from annotator.pose.dark import refine_rows
from annotator.pose.peaks import argmax_rows


@dataclass(frozen=True)
class SimCC:
    """Classification of x and y; the training labels' smoothing ("gaussian", "standard") plays no part here.

    Attributes:
        split_ratio: bins per input pixel.
        dark_kernels: odd blur sizes in bins for x and y; None without DARK.
    """

    split_ratio: float = 2.0
    dark_kernels: tuple[int, int] | None = None

    def decode(self, simcc_x: Tensor, simcc_y: Tensor) -> tuple[Tensor, Tensor]:
        """(N, K, Wx) and (N, K, Wy) float32 -> keypoints (N, K, 2), input pixels, and scores (N, K).

        The score is the smaller of both maxima. Where that is not positive, or either is not finite, the
        joint is not located and lies at bin -1, as in MMPose.
        """
        n, k = simcc_x.shape[:2]
        rows = (simcc_x.flatten(0, 1), simcc_y.flatten(0, 1))
        (x, value_x), (y, value_y) = (argmax_rows(r) for r in rows)
        # Of both sides: a minimum hides infinity, and MMPose's a NaN in y too.
        finite = torch.isfinite(value_x) & torch.isfinite(value_y)
        scores = torch.where(finite, torch.minimum(value_x, value_y), 0.0)
        bins = [torch.where(scores > 0, i, -1) for i in (x, y)]
        if self.dark_kernels is not None:
            bins = [refine_rows(r, i, size) for r, i, size in zip(rows, bins, self.dark_kernels, strict=True)]
        points = torch.stack([b.float() for b in bins], dim=-1) / self.split_ratio
        return points.view(n, k, 2), scores.view(n, k)
