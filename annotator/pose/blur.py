"""OpenCV's Gaussian blur of float32 maps, on any device.

Where DARK refines noise, a difference in the last bit of the blur moves a keypoint by pixels. So the blur
is OpenCV's own on the CPU, and elsewhere follows its order of operations: rows first, then columns from the
centre outward, each term added by one fused multiply-add.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor


@lru_cache(maxsize=32)
def gaussian_kernel(size: int) -> tuple[float, ...]:
    """The float32 weights that `cv2.GaussianBlur` takes for an odd kernel size and sigma 0."""
    return tuple(float(v) for v in cv2.getGaussianKernel(size, 0, cv2.CV_32F).ravel())


def blur_maps(maps: Tensor, size: int, reflect: bool = False) -> Tensor:
    """Blur each map.

    Args:
        maps: (M, H, W) float32.
        size: odd kernel size in cells.
        reflect: mirror the map at its borders (BORDER_REFLECT_101) rather than set it in zeros.

    Returns:
        (M, H, W) float32 on the same device.
    """
    return (
        _blur_cv2(maps, size, reflect) if maps.device.type == "cpu" else blur_maps_torch(maps, size, reflect)
    )


def blur_rows(rows: Tensor, size: int) -> Tensor:
    """Blur each row of (M, L) float32, set in zeros: (M, L) float32 on the same device."""
    border = size // 2
    if rows.device.type == "cpu":
        padded = np.pad(rows.detach().numpy(), ((0, 0), (border, border)))
        blurred = cv2.GaussianBlur(padded, (size, 1), 0).reshape(padded.shape)
        return torch.from_numpy(np.ascontiguousarray(blurred[:, border : border + rows.shape[1]]))
    return _filter_along(torch.nn.functional.pad(rows, (border, border)), size, 1)


def _blur_cv2(maps: Tensor, size: int, reflect: bool) -> Tensor:
    source = maps.detach().contiguous().numpy()
    out = np.empty_like(source)
    if reflect:
        for i in range(len(source)):
            cv2.GaussianBlur(source[i], (size, size), 0, dst=out[i])
        return torch.from_numpy(out)
    border = size // 2
    _, h, w = source.shape
    inside = (slice(border, border + h), slice(border, border + w))
    padded = np.zeros((h + 2 * border, w + 2 * border), np.float32)
    blurred = np.empty_like(padded)
    for i in range(len(source)):
        padded[inside] = source[i]
        cv2.GaussianBlur(padded, (size, size), 0, dst=blurred)
        out[i] = blurred[inside]
    return torch.from_numpy(out)


def blur_maps_torch(maps: Tensor, size: int, reflect: bool = False) -> Tensor:
    """`blur_maps` in torch alone: equal to OpenCV's to the bit for sizes from 9, else to 1e-7."""
    border = size // 2
    if reflect:
        at = [_mirrored(length, border, maps.device) for length in maps.shape[1:]]
        padded = maps.index_select(1, at[0]).index_select(2, at[1])
    else:
        padded = torch.nn.functional.pad(maps, (border, border, border, border))
    return _filter_from_centre(_filter_along(padded, size, 2), size, 1)


def _mirrored(length: int, border: int, device: torch.device) -> Tensor:
    """Indices -border .. length + border - 1, mirrored without repeating the edge as often as it takes."""
    period = max(2 * (length - 1), 1)
    index = torch.arange(-border, length + border, device=device) % period
    return torch.where(index < length, index, period - index)


def _filter_along(padded: Tensor, size: int, dim: int) -> Tensor:
    length = padded.shape[dim] - size + 1
    total: Tensor | None = None
    for i, weight in enumerate(gaussian_kernel(size)):
        total = _fused(padded.narrow(dim, i, length), weight, total)
    assert total is not None
    return total


def _filter_from_centre(padded: Tensor, size: int, dim: int) -> Tensor:
    weights = gaussian_kernel(size)
    centre, length = size // 2, padded.shape[dim] - size + 1
    total = _fused(padded.narrow(dim, centre, length), weights[centre], None)
    for i in range(1, centre + 1):
        pair = padded.narrow(dim, centre + i, length) + padded.narrow(dim, centre - i, length)
        total = _fused(pair, weights[centre + i], total)
    return total


def _fused(values: Tensor, weight: float, total: Tensor | None) -> Tensor:
    """float32 values * weight + total, rounded once: a product of float32 is exact in float64."""
    product = values.double() * weight
    return (product if total is None else product.add_(total)).float()
