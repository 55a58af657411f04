"""Muon for convolutions: each step turns a layer's momentum into the nearest orthogonal matrix."""

# pyright: reportPrivateImportUsage=false
# Operations on lists of tensors are private in name only: torch.optim is made of them.

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from mmengine.registry import OPTIMIZERS
from torch import Tensor
from torch.optim import Optimizer

SETTINGS = ("lr", "weight_decay", "momentum", "betas")  # of a group of weights


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
        # Matrices of one shape go through the products together: on a GPU single ones are mere launches.
        # MMEngine makes a group of each weight.
        alike = defaultdict(list)
        for group in self.param_groups:
            settings = tuple(group[name] for name in SETTINGS)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[settings, weight.flatten(1).shape if weight.ndim >= 2 else None].append(weight)
        for (settings, shape), weights in alike.items():
            group = dict(zip(SETTINGS, settings, strict=True))
            grads: Any = [weight.grad for weight in weights]
            update = (self._adam if shape is None else self._muon)(weights, grads, group)
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(weights, update, alpha=-group["lr"])

    def _muon(self, weights: list[Tensor], grads: list[Tensor], group: dict) -> list[Tensor]:
        momenta, rate = self._kept(weights, "momentum"), group["momentum"]
        torch._foreach_lerp_(momenta, grads, 1 - rate)
        matrices = torch.stack([one.flatten(1) for one in torch._foreach_lerp(grads, momenta, rate)])
        steps = orthogonal(matrices).mul_(0.2 * max(matrices.shape[1:]) ** 0.5)
        return [step.view_as(weight) for step, weight in zip(steps, weights, strict=True)]

    def _adam(self, weights: list[Tensor], grads: list[Tensor], group: dict) -> list[Tensor]:
        first, second = group["betas"]
        means, squares = self._kept(weights, "mean"), self._kept(weights, "square")
        torch._foreach_lerp_(means, grads, 1 - first)
        torch._foreach_lerp_(squares, torch._foreach_mul(grads, grads), 1 - second)
        for weight in weights:
            self.state[weight]["step"] = self.state[weight].get("step", 0) + 1
        counts = [self.state[weight]["step"] for weight in weights]
        mean = torch._foreach_div(means, [1 - first**count for count in counts])
        root = torch._foreach_sqrt(torch._foreach_div(squares, [1 - second**count for count in counts]))
        return list(torch._foreach_div(mean, torch._foreach_add(root, 1e-8)))

    def _kept(self, weights: list[Tensor], name: str) -> list[Tensor]:
        """The state of this name of each weight, zeros at first."""
        for weight in weights:
            if name not in self.state[weight]:
                self.state[weight][name] = torch.zeros_like(weight)
        return [self.state[weight][name] for weight in weights]


def orthogonal(matrices: Tensor) -> Tensor:
    """About U V^T of each matrix (..., m, n) = U S V^T, by five Newton-Schulz steps of degree five."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).float()
