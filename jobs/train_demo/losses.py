"""Losses that get a network from scratch off the ground in minutes, in bfloat16."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models import RTMDetSepBNHead
from mmdet.registry import MODELS as MMDET_MODELS
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
        error = torch.square(output.float() - target) * (1 + self.peak * target)
        return self.loss_weight * (error * target_weights[:, :, None, None]).mean()


@MMDET_MODELS.register_module()
class Float32RTMDetSepBNHead(RTMDetSepBNHead):
    """Assigns and compares in float32 what the network computed in bfloat16."""

    def loss_by_feat(
        self, cls_scores: list[Tensor], bbox_preds: list[Tensor], *args: Any, **kwargs: Any
    ) -> dict:
        with torch.autocast("cpu", enabled=False):
            scores = [level.float() for level in cls_scores]
            boxes = [level.float() for level in bbox_preds]
            return super().loss_by_feat(scores, boxes, *args, **kwargs)
