"""The flip test: outputs for a crop averaged with those for its mirror image, as each kind of head does it.

Written from the behaviour of MMPose's `flip_heatmaps`, `flip_vectors` and `flip_coordinates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from annotator.pose.decoding import Outputs, as_float32, select


@dataclass(frozen=True)
class FlipTest:
    """How to merge.

    Attributes:
        kind: the `Decoder.kind` of the outputs.
        indices: for each keypoint its mirror partner, itself where it has none.
        shift_heatmap: move the mirrored heatmaps one cell right (models not trained with UDP; `test_cfg`).
        shift_coords: move the mirrored coordinates one input pixel left (regression; `test_cfg`, there True).
        input_width: of the network, in pixels; for `shift_coords`.
    """

    kind: str
    indices: tuple[int, ...]
    shift_heatmap: bool = False
    shift_coords: bool = True
    input_width: int = 1

    def merge(self, plain: Outputs, mirrored: Outputs) -> Any:
        """The average, in the form that `Decoder` takes.

        Args:
            plain: what the head's `forward` returned for the crops.
            mirrored: what it returned for the crops mirrored left to right, not mirrored back.

        Returns:
            float32, on the outputs' device: numpy for numpy; only what is decoded; new arrays.
        """
        return self.average(plain, self.back(mirrored))

    def average(self, plain: Outputs, back: Outputs) -> Any:
        """The average of the outputs for the crops and of those of their mirror images, turned by `back`."""
        originals = select(plain, self.kind)
        a = [as_float32(v) for v in originals]
        b = [as_float32(v) for v in select(back, self.kind)]
        if self.kind == "regression":
            merged = [_average_coordinates(a[0], b[0])]
        else:
            merged = [(x + y) * 0.5 for x, y in zip(a, b, strict=True)]
        return _like(merged, originals[0], self.kind)

    def back(self, mirrored: Outputs) -> Any:
        """The outputs for the mirrored crops as if they were for the crops themselves: what `merge` averages.

        Args and result as of `merge`.
        """
        originals = select(mirrored, self.kind)
        b = [as_float32(v) for v in originals]
        index = torch.tensor(self.indices, device=b[0].device)
        if self.kind == "simcc":
            turned = [b[0].index_select(1, index).flip(-1), b[1].index_select(1, index)]
        elif self.kind == "regression":
            turned = [_coordinates_back(b[0], index, 1 / self.input_width if self.shift_coords else 0.0)]
        elif self.kind == "udp_combined":
            turned = [_shifted(_combined_back(b[0], index), self.shift_heatmap)]
        else:
            turned = [_shifted(b[0].index_select(1, index).flip(-1), self.shift_heatmap)]
        return _like(turned, originals[0], self.kind)


def flip_indices(num_keypoints: int, pairs: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """For each keypoint its mirror partner, from the pairs (left, right)."""
    indices = list(range(num_keypoints))
    for a, b in pairs:
        indices[a], indices[b] = b, a
    return tuple(indices)


def _combined_back(mirrored: Tensor, indices: Tensor) -> Tensor:
    """(N, 3K, H, W) class, x and y maps of the mirrored crops, whose x points back, turned round."""
    n, c, h, w = mirrored.shape
    back = mirrored.view(n, c // 3, 3, h, w).index_select(1, indices).flip(-1)
    back[:, :, 1].neg_()
    return back.view(n, c, h, w)


def _coordinates_back(mirrored: Tensor, indices: Tensor, shift: float) -> Tensor:
    """(N, K, 2 or 4) coordinates of the mirrored crops, as shares of the input, turned round.

    Args:
        shift: how far left to move x, as a share of the width.
    """
    back = mirrored.index_select(1, indices)
    x = 1.0 - back[..., :1]
    if shift:
        x = x - shift
    return torch.cat([x, back[..., 1:]], dim=-1)


def _average_coordinates(plain: Tensor, back: Tensor) -> Tensor:
    """Average of (N, K, 2 or 4) coordinates, and of sigma where there is one."""
    parts = [(plain[..., :2] + back[..., :2]) * 0.5]
    if plain.shape[-1] == 4:
        # The head averages sigma after its sigmoid; the result is a logit again, as in the plain output.
        parts.append(torch.logit((plain[..., 2:].sigmoid() + back[..., 2:].sigmoid()) * 0.5))
    return torch.cat(parts, dim=-1)


def _shifted(back: Tensor, shift: bool) -> Tensor:
    """Maps moved one cell right; the first column has no left neighbour and keeps its own value."""
    return torch.cat([back[..., :1], back[..., :-1]], dim=-1) if shift else back


def _like(parts: list[Tensor], original: Any, kind: str) -> Any:
    """The parts in the form of a head's outputs: numpy for numpy, a pair for SimCC."""
    made = [part.numpy() for part in parts] if isinstance(original, np.ndarray) else parts
    return tuple(made) if kind == "simcc" else made[0]
