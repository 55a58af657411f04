"""A heatmap loss that gets a network from scratch off the ground in minutes."""

from __future__ import annotations

import torch
from mmpose.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class PeakWeightedMSELoss(nn.Module):
    """Mean squared error in which the few pixels near a joint outweigh the many without one.

    With plain MSE a new network first learns that heatmaps are empty, and stays there for a thousand steps.

    Args:
        peak: weight of the pixel at the joint, on top of the 1 that every pixel has.
        loss_weight: factor on the whole.
    """

    def __init__(self, peak: float = 20.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.peak = peak
        self.loss_weight = loss_weight

    def forward(self, output: Tensor, target: Tensor, target_weights: Tensor) -> Tensor:
        """Heatmaps (N, K, H, W) against targets of the same shape; weights (N, K), 0 for unknown joints."""
        error = torch.square(output - target) * (1 + self.peak * target)
        return self.loss_weight * (error * target_weights[:, :, None, None]).mean()
