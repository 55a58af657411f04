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

from annotator.pose.decoding import Outputs, select


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
        originals = select(plain, self.kind)
        a = [_as_float32(v) for v in originals]
        b = [_as_float32(v) for v in select(mirrored, self.kind)]
        index = torch.tensor(self.indices, device=a[0].device)
        if self.kind == "simcc":
            merged = merge_simcc((a[0], a[1]), (b[0], b[1]), index)
        elif self.kind == "regression":
            merged = (
                merge_coordinates(a[0], b[0], index, 1 / self.input_width if self.shift_coords else 0.0),
            )
        elif self.kind == "udp_combined":
            merged = (merge_udp_combined(a[0], b[0], index, self.shift_heatmap),)
        else:
            merged = (merge_heatmaps(a[0], b[0], index, self.shift_heatmap),)
        if isinstance(originals[0], np.ndarray):
            merged = tuple(m.numpy() for m in merged)
        return merged if self.kind == "simcc" else merged[0]


def flip_indices(num_keypoints: int, pairs: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """For each keypoint its mirror partner, from the pairs (left, right)."""
    indices = list(range(num_keypoints))
    for a, b in pairs:
        indices[a], indices[b] = b, a
    return tuple(indices)


def merge_heatmaps(plain: Tensor, mirrored: Tensor, indices: Tensor, shift: bool) -> Tensor:
    """Average of (N, K, H, W) heatmaps and those of the mirrored crops. indices: (K,) int64."""
    return _average(plain, mirrored.index_select(1, indices).flip(-1), shift)


def merge_udp_combined(plain: Tensor, mirrored: Tensor, indices: Tensor, shift: bool) -> Tensor:
    """Average of (N, 3K, H, W) class, x and y maps and those of the mirrored crops, whose x points back."""
    n, c, h, w = mirrored.shape
    back = mirrored.view(n, c // 3, 3, h, w).index_select(1, indices).flip(-1)
    back[:, :, 1].neg_()
    return _average(plain, back.view(n, c, h, w), shift)


def merge_simcc(
    plain: tuple[Tensor, Tensor], mirrored: tuple[Tensor, Tensor], indices: Tensor
) -> tuple[Tensor, Tensor]:
    """Average of (N, K, Wx) and (N, K, Wy) distributions and those of the mirrored crops."""
    x = (plain[0] + mirrored[0].index_select(1, indices).flip(-1)) * 0.5
    y = (plain[1] + mirrored[1].index_select(1, indices)) * 0.5
    return x, y


def merge_coordinates(plain: Tensor, mirrored: Tensor, indices: Tensor, shift: float) -> Tensor:
    """Average of (N, K, 2 or 4) coordinates as shares of the input, and of sigma where there is one.

    Args:
        shift: how far left to move the mirrored x, as a share of the width.
    """
    back = mirrored.index_select(1, indices)
    x = 1.0 - back[..., :1]
    if shift:
        x = x - shift
    parts = [(plain[..., :1] + x) * 0.5, (plain[..., 1:2] + back[..., 1:2]) * 0.5]
    if plain.shape[-1] == 4:
        # The head averages sigma after its sigmoid; the result is a logit again, as in the plain output.
        parts.append(torch.logit((plain[..., 2:].sigmoid() + back[..., 2:].sigmoid()) * 0.5))
    return torch.cat(parts, dim=-1)


def _average(plain: Tensor, back: Tensor, shift: bool) -> Tensor:
    if not shift:
        return (plain + back) * 0.5
    # The first column has no left neighbour and keeps its own value.
    total = plain.clone()
    total[..., 1:] += back[..., :-1]
    total[..., 0] += back[..., 0]
    return total.mul_(0.5)


def _as_float32(array: Any) -> Tensor:
    tensor = (
        torch.from_numpy(np.ascontiguousarray(array)) if isinstance(array, np.ndarray) else array.detach()
    )
    return tensor.float()
