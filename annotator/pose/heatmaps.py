"""Keypoints from heatmaps: MSRA's (quarter offset or DARK), UDP's (DARK or offset maps) and Megvii's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from annotator.pose.blur import blur_maps
from annotator.pose.dark import refine_msra, refine_udp
from annotator.pose.peaks import cells, find_peaks


@dataclass(frozen=True)
class MSRAHeatmaps:
    """Heatmaps of "Simple Baselines" (Xiao et al. 2018); unbiased: refined by DARK (Zhang et al. 2020).

    Attributes:
        input_size, heatmap_size: (width, height).
        unbiased: refine with DARK rather than by a quarter of a cell towards the second maximum.
        blur_kernel_size: odd, in cells; of DARK only.
    """

    input_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    unbiased: bool = False
    blur_kernel_size: int = 11

    def decode(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """(N, K, H, W) float32 -> keypoints (N, K, 2), input pixels, and scores (N, K)."""
        n, k = heatmaps.shape[:2]
        maps = heatmaps.flatten(0, 1)
        x, y, values = find_peaks(maps)
        if self.unbiased:
            points = refine_msra(maps, x, y, values, self.blur_kernel_size)
        else:
            points = torch.stack([x, y], dim=-1).float() + _quarter_offsets(maps, x, y)
        scale = _ratio(self.input_size, self.heatmap_size, points)
        return (points * scale).view(n, k, 2), values.view(n, k)


@dataclass(frozen=True)
class UDPHeatmaps:
    """Heatmaps of unbiased data processing (Huang et al. 2020), refined by DARK in UDP's form.

    Attributes:
        input_size, heatmap_size: (width, height).
        blur_kernel_size: odd, in cells.
    """

    input_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    blur_kernel_size: int = 11

    def decode(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """(N, K, H, W) float32 -> keypoints (N, K, 2), input pixels, and scores (N, K)."""
        n, k = heatmaps.shape[:2]
        maps = heatmaps.flatten(0, 1)
        x, y, values = find_peaks(maps)
        points = refine_udp(maps, x, y, values, self.blur_kernel_size)
        return _unbiased(points, self.input_size, self.heatmap_size).view(n, k, 2), values.view(n, k)


@dataclass(frozen=True)
class UDPCombined:
    """UDP's classification maps with offset maps in x and y beside them (Huang et al. 2020).

    Attributes:
        input_size, heatmap_size: (width, height).
        radius_factor: the unit of the offsets, as a share of the longer side of the heatmap.
        blur_kernel_size: the classification maps are blurred with a kernel of twice this plus 1 cells.
    """

    input_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    radius_factor: float = 0.0546875
    blur_kernel_size: int = 11

    def decode(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3K, H, W) float32, (class, x, y) of each joint -> keypoints (N, K, 2) and scores (N, K)."""
        n, channels, h, w = heatmaps.shape
        k = channels // 3
        maps = heatmaps.view(n * k, 3, h, w)
        x, y, values = find_peaks(
            blur_maps(maps[:, 0].contiguous(), 2 * self.blur_kernel_size + 1, reflect=True)
        )
        at = (y.clamp(0) * w + x.clamp(0))[:, None, None].expand(-1, 2, 1)
        offsets = maps[:, 1:].flatten(2).gather(2, at)[..., 0] * (self.radius_factor * max(w, h))
        # A joint whose offsets are not finite is not located.
        finite = torch.isfinite(offsets).all(1)
        values = torch.where(finite, values, 0.0)
        x, y = torch.where(finite, x, -1), torch.where(finite, y, -1)
        points = torch.stack([x, y], dim=-1).float() + torch.where((values > 0)[:, None], offsets, 0.0)
        return _unbiased(points, self.input_size, self.heatmap_size).view(n, k, 2), values.view(n, k)


@dataclass(frozen=True)
class MegviiHeatmaps:
    """Heatmaps of MSPN and CPN (Chen et al. 2018), 255 at the joint; the maximum of the blurred map counts.

    Attributes:
        input_size, heatmap_size: (width, height).
        kernel_size: odd, in cells.
    """

    input_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    kernel_size: int

    def decode(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """(N, K, H, W) float32 -> keypoints (N, K, 2), input pixels, scores (N, K): maximum / 255 + 0.5."""
        n, k, h, w = heatmaps.shape
        maps = heatmaps.flatten(0, 1)
        blurred = blur_maps(maps, self.kernel_size)
        blurred *= (maps.amax(dim=(1, 2)) / blurred.amax(dim=(1, 2)))[:, None, None]
        x, y, values = find_peaks(blurred)
        # A map that is zero everywhere has no scale: MMPose's 0 / 0.
        finite = torch.isfinite(blurred.amax(dim=(1, 2)))
        steps = torch.stack(
            [
                cells(blurred, x + 1, y) - cells(blurred, x - 1, y),
                cells(blurred, x, y + 1) - cells(blurred, x, y - 1),
            ],
            dim=-1,
        )
        inside = (x > 1) & (x < w - 1) & (y > 1) & (y < h - 1)
        offsets = torch.where(inside[:, None], torch.sign(steps).nan_to_num(0.0) * 0.25 + 0.5, 0.0)
        points = torch.stack([x, y], dim=-1).float() + offsets
        scores = torch.where(finite, values / 255.0 + 0.5, 0.0)
        return (points * _ratio(self.input_size, self.heatmap_size, points)).view(n, k, 2), scores.view(n, k)


def _quarter_offsets(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """A quarter of a cell towards the higher neighbour in x and y: (M, 2), zero near borders as in MMPose."""
    _, h, w = maps.shape
    neighbours = torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]], device=maps.device)
    right, left, below, above = cells(
        maps, x[:, None] + neighbours[:, 0], y[:, None] + neighbours[:, 1]
    ).unbind(1)
    dx = torch.where((x > 1) & (x < w - 1) & (y > 0), right - left, 0.0)
    dy = torch.where((y > 1) & (y < h - 1) & (x > 0), below - above, 0.0)
    return torch.sign(torch.stack([dx, dy], dim=-1)).nan_to_num(0.0) * 0.25


def _ratio(input_size: tuple[int, int], heatmap_size: tuple[int, int], like: Tensor) -> Tensor:
    return torch.tensor(
        [i / m for i, m in zip(input_size, heatmap_size, strict=True)], device=like.device
    ).float()


def _unbiased(points: Tensor, input_size: tuple[int, int], heatmap_size: tuple[int, int]) -> Tensor:
    """Cells to input pixels as MMPose's UDP codec: the last cell lies at the input's width and height."""
    last = torch.tensor([m - 1 for m in heatmap_size], dtype=torch.float64, device=points.device)
    size = torch.tensor(input_size, dtype=torch.float64, device=points.device)
    return (points.double() / last * size).float()
