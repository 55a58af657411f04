"""Averages of the weights over the training, of all tensors at once."""

# pyright: reportPrivateImportUsage=false
# Operations on lists of tensors are private in name only: torch.optim is made of them.

from __future__ import annotations

import math
from typing import Any

import torch
from mmengine.model import BaseAveragedModel
from mmengine.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class ForeachEMA(BaseAveragedModel):
    """MMPose's `ExpMomentumEMA` with `update_buffers`: on a GPU one launch a step, not three a tensor.

    Args:
        momentum: share of the newest weights in an average, once the training has gone on for a while.
        gamma: steps in which the share falls from 1 to about a third.
    """

    def __init__(self, model: nn.Module, momentum: float, gamma: int) -> None:
        super().__init__(model, update_buffers=True)
        self.momentum = momentum
        self.gamma = gamma

    def avg_func(self, averaged_param: Tensor, source_param: Tensor, steps: int) -> None:
        raise NotImplementedError("all tensors are averaged at once")

    def update_parameters(self, model: nn.Module) -> None:
        source, step = model.state_dict(), int(self.steps)
        share = 1.0 if step == 0 else self.momentum + (1 - self.momentum) * math.exp(-(1 + step) / self.gamma)
        names = [name for name, average in self.avg_parameters.items() if average.is_floating_point()]
        averages: Any = [self.avg_parameters[name] for name in names]
        torch._foreach_lerp_(averages, [source[name] for name in names], share)
        self.steps += 1
