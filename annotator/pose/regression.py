"""Keypoints from coordinates: DeepPose, RLE, integral regression and DSNT."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Regression:
    """Coordinates as shares of the input's width and height.

    Attributes:
        input_size: (width, height).
    """

    input_size: tuple[int, int]

    def decode(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """(N, K, 2) coordinates, or (N, K, 4) coordinates and logits of sigma (RLE, Li et al. 2021), float32.

        Returns:
            keypoints (N, K, 2), input pixels, and scores (N, K): 1 without sigma, else the mean of 1 - sigma;
            0, with the coordinate 0, where a value is not finite.
        """
        size = torch.tensor(self.input_size, dtype=torch.float64, device=outputs.device)
        points = (outputs[..., :2].double() * size).float()
        if outputs.shape[-1] == 2:
            scores = torch.ones_like(outputs[..., 0])
        else:
            scores = (1 - outputs[..., 2:4].sigmoid()).mean(dim=-1)
        finite = torch.isfinite(points).all(dim=-1) & torch.isfinite(scores)
        return points.nan_to_num(0.0, 0.0, 0.0), torch.where(finite, scores, 0.0)
