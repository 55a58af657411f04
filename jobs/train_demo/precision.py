"""bfloat16 on any device; MMEngine's own wrapper allows it on GPUs only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Forward passes under autocast; weights, gradients of weights and the optimizer stay float32.

    bfloat16 has the range of float32: losses need no scaling.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        # No weight is used twice in a step; and a CUDA graph cannot hold the cache.
        with super().optim_context(model), torch.autocast(device, torch.bfloat16, cache_enabled=False):
            yield
