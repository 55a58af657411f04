"""Numbers and places on the device that trains, which batches and what changes them share."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


@cache
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Numbers on a device, copied there once: a GPU waits for each copy."""
    return torch.tensor(values, device=device)


def uniform(shape: tuple[int, ...], low: float, high: float, device: torch.device) -> Tensor:
    """Random numbers from low to high."""
    return low + torch.rand(shape, device=device) * (high - low)


def normalized(places: Tensor, size: tuple[int, int]) -> Tensor:
    """Places (..., 2), x and y in pixels, of an image of (width, height) as `grid_sample` takes them."""
    width, height = size
    return places * (2 / constant((width - 1, height - 1), places.device)) - 1
