"""How widely a network's output is spread: the entropy of heatmaps and of SimCC distributions."""

from __future__ import annotations

import torch
from torch import Tensor


def heatmap_entropy(maps: Tensor) -> Tensor:
    """Entropy of each map taken as a distribution over its cells, negative values as 0.

    Args:
        maps: (N, K, H, W) float32.

    Returns:
        (N, K) float32, nats, in [0, log(H W)]; log(H W) where no value is positive.
    """
    cells = maps.flatten(2)
    positive = cells.clamp_min(0)
    total = positive.sum(dim=-1)
    # -sum p log p with p = h / total, without writing p: log(total) - sum(h log h) / total.
    spread = torch.log(total) + torch.special.entr(positive).sum(dim=-1) / total
    return torch.where(total > 0, spread, _most(cells.shape[-1])).clamp_min(0)


def simcc_entropy(simcc_x: Tensor, simcc_y: Tensor, beta: float = 1.0) -> Tensor:
    """Entropy of both coordinates' distributions together, the sum of each one's.

    Args:
        simcc_x, simcc_y: (N, K, Wx) and (N, K, Wy) float32, the head's outputs.
        beta: what the outputs are multiplied with before the softmax; of the head's loss (`KLDiscretLoss`).

    Returns:
        (N, K) float32, nats.
    """
    return sum(_softmax_entropy(values * beta) for values in (simcc_x, simcc_y))  # type: ignore[return-value]


def _softmax_entropy(logits: Tensor) -> Tensor:
    log_p = logits.log_softmax(dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1)


def _most(cells: int) -> float:
    return float(torch.log(torch.tensor(float(cells))))
