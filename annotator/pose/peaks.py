"""Where maps have their maximum."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def argmax_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """First maximum of each row: (M, L) float32 -> index (M,) int64, value (M,), NaN where a row has one."""
    if rows.device.type == "cpu":
        # numpy's is vectorised, torch's is not.
        array = rows.detach().numpy()
        index = np.argmax(array, axis=1)
        return torch.from_numpy(index), torch.from_numpy(array[np.arange(len(array)), index])
    values, index = rows.max(dim=1)
    return index, values


def find_peaks(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cells of the first maxima.

    Args:
        maps: (M, H, W) float32, contiguous.

    Returns:
        x, y: (M,) int64, -1 where the map has no positive value (as MMPose) or one that is not finite.
        values: (M,) float32: the maximum; 0 where it is not finite, so that no NaN gets into a score.
    """
    index, values = argmax_rows(maps.flatten(1))
    values = torch.where(torch.isfinite(values), values, 0.0)
    located = values > 0
    width = maps.shape[2]
    x = torch.where(located, index % width, -1)
    y = torch.where(located, torch.div(index, width, rounding_mode="floor"), -1)
    return x, y, values


def cells(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Values of (M, H, W) maps at cells x, y of shape (M, ...), clamped to the map: (M, ...)."""
    _, h, w = maps.shape
    at = y.clamp(0, h - 1) * w + x.clamp(0, w - 1)
    return maps.flatten(1).gather(1, at.reshape(len(maps), -1)).view(at.shape)
