"""Smooth pseudo-random fields (value noise) for cloth, hair, ground and clouds. Same input, same output."""

from __future__ import annotations

import numba
import numpy as np

_SIZE = 32
_LATTICE = np.random.default_rng(7).normal(0, 1, (_SIZE, _SIZE, _SIZE)).astype(np.float32)


@numba.njit(cache=True, fastmath=True, nogil=True)
def _value_noise(points, scale, octaves, lattice, out):
    mask = lattice.shape[0] - 1
    for n in range(points.shape[0]):
        total = numba.float32(0.0)
        weight = numba.float32(1.0)
        frequency = scale
        for _ in range(octaves):
            x, y, z = points[n, 0] * frequency, points[n, 1] * frequency, points[n, 2] * frequency
            fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
            i, j, k = int(fx) & mask, int(fy) & mask, int(fz) & mask
            i1, j1, k1 = (i + 1) & mask, (j + 1) & mask, (k + 1) & mask
            x, y, z = x - fx, y - fy, z - fz
            x, y, z = x * x * (3 - 2 * x), y * y * (3 - 2 * y), z * z * (3 - 2 * z)
            low = lattice[i, j, k] * (1 - z) + lattice[i, j, k1] * z
            high = lattice[i, j1, k] * (1 - z) + lattice[i, j1, k1] * z
            near = low * (1 - y) + high * y
            low = lattice[i1, j, k] * (1 - z) + lattice[i1, j, k1] * z
            high = lattice[i1, j1, k] * (1 - z) + lattice[i1, j1, k1] * z
            total += weight * (near * (1 - x) + (low * (1 - y) + high * y) * x)
            weight *= numba.float32(0.5)
            frequency *= 2
        out[n] = total


def noise(points: np.ndarray, scale: float, octaves: int = 2) -> np.ndarray:
    """(N,) float32 of roughly unit deviation at (N, 3) points; `scale` is cycles per unit of length."""
    points = np.ascontiguousarray(points, np.float32)
    out = np.empty(len(points), np.float32)
    _value_noise(points, np.float32(scale), octaves, _LATTICE, out)
    return out


def noise_image(shape: tuple[int, int], cells: float, octaves: int, seed: float) -> np.ndarray:
    """(H, W) float32 noise with `cells` lattice cells along the longer side."""
    h, w = shape
    y, x = np.mgrid[:h, :w].astype(np.float32) * (cells / max(h, w))
    points = np.stack([x.ravel() + seed, y.ravel() + 0.7 * seed, np.full(h * w, 0.37 * seed, np.float32)], 1)
    return noise(points, 1.0, octaves).reshape(h, w)
