"""Losses that get a network from scratch off the ground in minutes, in bfloat16."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models import RTMDetSepBNHead
from mmdet.registry import MODELS as MMDET_MODELS
from mmpose.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional


@MODELS.register_module()
class JointsAndPartsLoss(nn.Module):
    """Heatmaps of joints by weighted squares, and what each pixel shows by cross-entropy.

    With plain MSE a new network first learns that heatmaps are empty, and stays there for a thousand steps:
    the few pixels near a joint outweigh the many without one. Body parts say something about every pixel,
    where joints say something about seventeen places.

    Args:
        peak: weight of the pixel at the joint, on top of the 1 that every pixel has.
        joints: factor on the error of the heatmaps. parts: on the cross-entropy.
    """

    def __init__(self, peak: float = 20.0, joints: float = 100.0, parts: float = 1.0) -> None:
        super().__init__()
        self.peak = peak
        self.joints = joints
        self.parts = parts

    def forward(self, output: Tensor, target: Tensor, target_weights: Tensor) -> Tensor:
        """Output (N, K + classes, H, W); target (N, K + 1, H, W), the last of classes; weights (N, K)."""
        count = target_weights.shape[1]
        output = output.float()
        heatmaps = target[:, :count]
        error = torch.square(output[:, :count] - heatmaps) * (1 + self.peak * heatmaps)
        joints = (error * target_weights[:, :, None, None]).mean()
        parts = functional.cross_entropy(output[:, count:], target[:, count].long())
        return self.joints * joints + self.parts * parts


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
