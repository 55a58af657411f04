"""DARK: the maximum of a blurred heatmap to a fraction of a cell, by one Newton step on its logarithm.

Distribution-Aware Coordinate Representation (Zhang et al. 2020), in the forms of MMPose's
`refine_keypoints_dark` (MSRA), `refine_keypoints_dark_udp` and `refine_simcc_dark`.

Only derivatives at the maximum are needed, so only its neighbourhood is blurred. MMPose scales the blurred
map back to the old maximum first; that costs a blur of the whole map and cancels out in the derivatives of
the logarithm, unless it carries values over a clipping limit. Those maps, and maps so flat that rounding
decides where the Newton step goes, are blurred whole and refined in MMPose's precision and order of steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from annotator.pose.blur import blur_maps, blur_rows, gaussian_kernel
from annotator.pose.peaks import cells

_MSRA_FLOOR = 1e-10
_UDP_FLOOR, _UDP_CEILING = 1e-3, 50.0
# Rounding in float32 moves a Newton step by about 1e-6 times this many cells: 2e-4.
_MAX_AMPLIFICATION = 200.0
_EPS = float(np.finfo(np.float32).eps)


def refine_msra(maps: Tensor, x: Tensor, y: Tensor, values: Tensor, kernel_size: int) -> Tensor:
    """Refined maxima in cells (M, 2) float32; unchanged within two cells of the border and where x is -1.

    Args:
        maps: (M, H, W) float32.
        x, y, values: (M,) from `find_peaks`.
        kernel_size: odd size of the blur, in cells.
    """
    _, h, w = maps.shape
    inside = (x > 1) & (x < w - 2) & (y > 1) & (y < h - 2)
    blurred = _blurred_neighbourhood(maps, x, y, 2, kernel_size)
    safe = blurred.amin(dim=(1, 2)) > 2 * _MSRA_FLOOR
    p = blurred.clamp(min=_MSRA_FLOOR).log()
    gradient = 0.5 * torch.stack([p[:, 2, 3] - p[:, 2, 1], p[:, 3, 2] - p[:, 1, 2]], dim=-1)
    hxx = 0.25 * (p[:, 2, 4] - 2 * p[:, 2, 2] + p[:, 2, 0])
    hyy = 0.25 * (p[:, 4, 2] - 2 * p[:, 2, 2] + p[:, 0, 2])
    hxy = 0.25 * (p[:, 3, 3] - p[:, 1, 3] - p[:, 3, 1] + p[:, 1, 1])
    step, amplification = _newton(gradient, hxx, hxy, hyy)
    doubtful = inside & ~(safe & (amplification < _MAX_AMPLIFICATION))
    step = _redo(
        step, doubtful, lambda i: _exact_msra(_scaled_blur(maps[i], values[i], kernel_size), x[i], y[i])
    )
    return _moved(x, y, step, inside)


def refine_udp(maps: Tensor, x: Tensor, y: Tensor, values: Tensor, kernel_size: int) -> Tensor:
    """Refined maxima in cells (M, 2) float32; unchanged where x is -1. Arguments as of `refine_msra`."""
    _, h, w = maps.shape
    p = _blurred_neighbourhood(maps, x, y, 1, kernel_size)
    # The blurred map continues beyond its edge with its edge.
    p = torch.stack(
        [_or(x == 0, p[:, :, 1], p[:, :, 0]), p[:, :, 1], _or(x == w - 1, p[:, :, 1], p[:, :, 2])], 2
    )
    p = torch.stack([_or(y == 0, p[:, 1], p[:, 0]), p[:, 1], _or(y == h - 1, p[:, 1], p[:, 2])], 1)
    safe = (p.amin(dim=(1, 2)) > 1.01 * _UDP_FLOOR) & (values < 0.99 * _UDP_CEILING)
    p = p.clamp(min=_UDP_FLOOR).log()
    step, amplification = _newton(*_udp_derivatives(p))
    doubtful = (x >= 0) & ~(safe & (amplification < _MAX_AMPLIFICATION))
    step = _redo(
        step, doubtful, lambda i: _exact_udp(_scaled_blur(maps[i], values[i], kernel_size), x[i], y[i])
    )
    return _moved(x, y, step, x >= 0)


def refine_rows(rows: Tensor, x: Tensor, kernel_size: int) -> Tensor:
    """Refined maxima of distributions: rows (M, L) float32, maxima at x (M,) -> (M,) float32, in bins."""
    blurred = blur_rows(rows, kernel_size)
    blurred *= (rows.amax(dim=1) / blurred.amax(dim=1))[:, None]
    around = x[:, None] + torch.arange(-2, 3, device=x.device)
    p = blurred.gather(1, around.clamp(0, rows.shape[1] - 1)).cpu().numpy()
    with np.errstate(all="ignore"):
        p = np.log(np.clip(p, _UDP_FLOOR, _UDP_CEILING))
        first = 0.5 * (p[:, 3] - p[:, 1])
        second = 1e-9 + 0.25 * (p[:, 4] - 2 * p[:, 2] + p[:, 0])
        step = torch.from_numpy(-first / second).to(x.device)
    return x + torch.where((x >= 0) & torch.isfinite(step), step, 0.0)


def _blurred_neighbourhood(maps: Tensor, x: Tensor, y: Tensor, radius: int, kernel_size: int) -> Tensor:
    """The blurred (zero outside) maps around their maxima: (M, 2 radius + 1, 2 radius + 1) float64."""
    m, h, w = maps.shape
    reach = radius + kernel_size // 2
    around = torch.arange(-reach, reach + 1, device=maps.device)
    xs, ys = x[:, None] + around, y[:, None] + around
    rows = ys.clamp(0, h - 1) + h * torch.arange(m, device=maps.device)[:, None]
    patch = maps.flatten()[rows[:, :, None] * w + xs.clamp(0, w - 1)[:, None, :]].double()
    inside = ((ys >= 0) & (ys < h))[:, :, None] & ((xs >= 0) & (xs < w))[:, None, :]
    patch = torch.where(inside, patch, 0.0)
    kernel = torch.tensor(gaussian_kernel(kernel_size), dtype=torch.float64, device=maps.device)
    band = kernel.new_zeros(2 * radius + 1, 2 * reach + 1)
    for i in range(2 * radius + 1):
        band[i, i : i + kernel_size] = kernel
    return band @ patch @ band.T


def _udp_derivatives(p: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    gradient = 0.5 * torch.stack([p[:, 1, 2] - p[:, 1, 0], p[:, 2, 1] - p[:, 0, 1]], dim=-1)
    centre = p[:, 1, 1]
    hxx = p[:, 1, 2] - 2 * centre + p[:, 1, 0] + _EPS
    hyy = p[:, 2, 1] - 2 * centre + p[:, 0, 1] + _EPS
    hxy = 0.5 * (
        p[:, 2, 2] - p[:, 1, 2] - p[:, 2, 1] + centre + centre - p[:, 1, 0] - p[:, 0, 1] + p[:, 0, 0]
    )
    return gradient, hxx, hxy, hyy


def _newton(gradient: Tensor, hxx: Tensor, hxy: Tensor, hyy: Tensor) -> tuple[Tensor, Tensor]:
    """The Newton step (M, 2), and by how much it amplifies errors of the derivatives (M,)."""
    determinant = hxx * hyy - hxy * hxy
    step = torch.stack(
        [
            (hxy * gradient[:, 1] - hyy * gradient[:, 0]) / determinant,
            (hxy * gradient[:, 0] - hxx * gradient[:, 1]) / determinant,
        ],
        dim=-1,
    )
    norm = torch.stack([hxx, hxy, hyy]).abs().amax(dim=0) / determinant.abs()
    return step, norm * (1 + step.abs().amax(dim=-1))


def _redo(step: Tensor, doubtful: Tensor, exact: Callable[[Tensor], Tensor]) -> Tensor:
    index = doubtful.nonzero()[:, 0]
    if len(index):
        step[index] = exact(index).to(step)
    return step


def _scaled_blur(maps: Tensor, values: Tensor, kernel_size: int) -> Tensor:
    blurred = blur_maps(maps, kernel_size)
    return blurred.mul_((values / blurred.amax(dim=(1, 2)))[:, None, None])


def _around(maps: Tensor, x: Tensor, y: Tensor, radius: int) -> np.ndarray:
    around = torch.arange(-radius, radius + 1, device=maps.device)
    xs = (x[:, None] + around)[:, None, :].expand(-1, len(around), -1)
    ys = (y[:, None] + around)[:, :, None].expand(-1, -1, len(around))
    return cells(maps, xs, ys).cpu().numpy()


def _exact_msra(blurred: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """`_newton` in numpy and float32, whose logarithm and inverse MMPose uses. (m, H, W) -> (m, 2)."""
    p = np.log(np.maximum(_around(blurred, x, y, 2), np.float32(_MSRA_FLOOR)))
    gradient = 0.5 * np.stack([p[:, 2, 3] - p[:, 2, 1], p[:, 3, 2] - p[:, 1, 2]], axis=-1)
    hxx = 0.25 * (p[:, 2, 4] - 2 * p[:, 2, 2] + p[:, 2, 0])
    hyy = 0.25 * (p[:, 4, 2] - 2 * p[:, 2, 2] + p[:, 0, 2])
    hxy = 0.25 * (p[:, 3, 3] - p[:, 1, 3] - p[:, 3, 1] + p[:, 1, 1])
    hessian = np.stack([hxx, hxy, hxy, hyy], axis=-1).reshape(-1, 2, 2)
    step = np.zeros_like(gradient)
    for i in np.flatnonzero(hxx * hyy - hxy**2 != 0):
        try:
            step[i] = -np.linalg.inv(hessian[i]) @ gradient[i]
        except np.linalg.LinAlgError:
            continue  # Singular after rounding: there is no step to take.
    return torch.from_numpy(step)


def _exact_udp(blurred: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """`_newton` with numpy's logarithm and differences in float32, as in MMPose. (m, H, W) -> (m, 2)."""
    p = torch.from_numpy(np.log(np.clip(_around(blurred, x, y, 1), _UDP_FLOOR, _UDP_CEILING)))
    gradient = 0.5 * torch.stack([p[:, 1, 2] - p[:, 1, 0], p[:, 2, 1] - p[:, 0, 1]], dim=-1)
    centre = p[:, 1, 1]
    hxx = (p[:, 1, 2] - 2 * centre + p[:, 1, 0]).double() + _EPS
    hyy = (p[:, 2, 1] - 2 * centre + p[:, 0, 1]).double() + _EPS
    hxy = 0.5 * (
        p[:, 2, 2] - p[:, 1, 2] - p[:, 2, 1] + centre + centre - p[:, 1, 0] - p[:, 0, 1] + p[:, 0, 0]
    )
    return _newton(gradient.double(), hxx, hxy.double(), hyy)[0]


def _or(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(condition[:, None], yes, no)


def _moved(x: Tensor, y: Tensor, step: Tensor, allowed: Tensor) -> Tensor:
    step = torch.where(allowed[:, None] & torch.isfinite(step).all(dim=-1, keepdim=True), step, 0.0)
    return (torch.stack([x, y], dim=-1).double() + step).float()
