"""Muon for convolutions: each step turns a layer's momentum into the nearest orthogonal matrix."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import OPTIMIZERS
from torch import Tensor
from torch.optim import Optimizer


@OPTIMIZERS.register_module()
class MuonAdamW(Optimizer):
    """Muon (Jordan et al., 2024) for weights of two dimensions or more, AdamW for the rest.

    A convolution is the matrix (outputs, inputs x height x width). Its step has the size of AdamW's
    (Liu et al., "Muon is scalable", 2025: 0.2 sqrt of the longer side), so that both share a rate.

    Args:
        lr: of both. weight_decay: of both, decoupled.
        momentum: of Muon, Nesterov's. betas: of AdamW.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        weight_decay: float = 0.01,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "betas": betas}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                state = self.state[weight]
                update = self._muon if weight.ndim >= 2 else self._adam
                weight.add_(update(weight.grad, state, group), alpha=-group["lr"])

    @staticmethod
    def _muon(grad: Tensor, state: dict, group: dict) -> Tensor:
        if not state:
            state["momentum"] = torch.zeros_like(grad)
        momentum, rate = state["momentum"], group["momentum"]
        momentum.lerp_(grad, 1 - rate)
        matrix = grad.lerp(momentum, rate).flatten(1)
        return orthogonal(matrix).mul_(0.2 * max(matrix.shape) ** 0.5).view_as(grad)

    @staticmethod
    def _adam(grad: Tensor, state: dict, group: dict) -> Tensor:
        if not state:
            state.update(step=0, mean=torch.zeros_like(grad), square=torch.zeros_like(grad))
        first, second = group["betas"]
        state["step"] += 1
        state["mean"].lerp_(grad, 1 - first)
        state["square"].lerp_(grad.square(), 1 - second)
        mean = state["mean"] / (1 - first ** state["step"])
        square = state["square"] / (1 - second ** state["step"])
        return mean / (square.sqrt() + 1e-8)


def orthogonal(matrix: Tensor) -> Tensor:
    """About U V^T of the matrix (m, n) = U S V^T, by five Newton-Schulz steps of degree five."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).float()
