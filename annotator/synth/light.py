"""Light of a scene: one sun or lamp with soft shadows, and the sky or room all round."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from annotator.synth.raster import fill


@dataclass(frozen=True)
class Light:
    """`direction` (3,) points towards the lamp; strengths are factors of albedo, colours (3,) RGB."""

    direction: np.ndarray
    strength: float
    color: np.ndarray
    ambient: float
    ambient_color: np.ndarray
    ground_color: np.ndarray


def sample_light(rng: np.random.Generator) -> Light:
    """Sun from any side, overcast, warm lamps, flash from the camera."""
    u = rng.uniform
    azimuth = u(-np.pi, np.pi) if rng.random() < 0.35 else u(-np.pi, 0)
    height = u(0.35, 1.35)
    direction = np.array(
        [np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)], np.float32
    )
    kind = rng.choice(["sun", "overcast", "lamp", "flash"], p=[0.42, 0.25, 0.25, 0.08])
    if kind == "overcast":
        strength, ambient = u(0.05, 0.25), u(0.75, 1.0)
    elif kind == "flash":
        strength, ambient = u(0.6, 0.9), u(0.15, 0.35)
        direction = np.array([u(-0.15, 0.15), -1, u(0.0, 0.3)], np.float32)
        direction /= np.linalg.norm(direction)
    else:
        strength, ambient = u(0.35, 1.0), u(0.4, 0.75)
    warm = u(0.7, 1.05) if kind == "lamp" else u(0.85, 1.03)
    return Light(
        direction=direction.astype(np.float32),
        strength=float(strength),
        color=np.array([1.0, 0.5 + warm / 2, warm], np.float32),
        ambient=float(ambient),
        ambient_color=np.array([u(0.9, 1.02), 0.98, u(0.92, 1.1)], np.float32),
        ground_color=rng.uniform(0.4, 0.8, 3).astype(np.float32),
    )


class ShadowMap:
    """Depth of the scene seen from the lamp, orthographic; answers how much light reaches a point."""

    def __init__(self, direction: np.ndarray, meshes: list[tuple[np.ndarray, np.ndarray]], size: int = 512):
        helper = np.array([0.0, 0.0, 1.0]) if abs(direction[2]) < 0.95 else np.array([0.0, 1.0, 0.0])
        across = np.cross(direction, helper)
        across /= np.linalg.norm(across)
        self._axes = np.stack([across, np.cross(direction, across), -direction]).astype(np.float32)
        points = np.concatenate([v for v, _ in meshes]) @ self._axes.T
        self._low, high = points.min(0), points.max(0)
        self._scale = (size - 8) / max(float((high - self._low)[:2].max()), 1e-3)
        self._inverse_depth = np.zeros((size, size), np.float32)
        ids = np.full((size, size), -1, np.int32)
        for vertices, faces in meshes:
            fill(self._project(vertices), faces, 0, self._inverse_depth, ids)
        empty = self._inverse_depth <= 0
        self.depth = np.where(empty, 1e9, 1 / np.maximum(self._inverse_depth, 1e-9)).astype(np.float32)

    def _project(self, points: np.ndarray) -> np.ndarray:
        seen = points @ self._axes.T
        out = np.empty((len(points), 3), np.float32)
        out[:, :2] = (seen[:, :2] - self._low[:2]) * self._scale + 4
        out[:, 2] = seen[:, 2] - self._low[2] + 5
        return out

    def light(self, points: np.ndarray, bias: float = 0.03, softness: float = 1.4) -> np.ndarray:
        """(N,) float32 from 0 (shadow) to 1 (lit); `softness` in texels of the map."""
        out = np.empty(len(points), np.float32)
        _percentage_closer(
            self._project(np.ascontiguousarray(points, np.float32)), self.depth, bias, softness, out
        )
        return out

    def texels(self, metres: float) -> float:
        """How many texels a length is, for `softness`."""
        return metres * self._scale


_TAPS = np.array(
    [[0, 0], [0.95, 0.3], [-0.3, 0.95], [-0.95, -0.3], [0.3, -0.95], [0.4, 0.45], [-0.45, 0.4], [-0.4, -0.45],
     [0.45, -0.4]], np.float32)  # fmt: skip


@numba.njit(cache=True, nogil=True)
def _filtered(projected, depth, bias, softness, taps, out):
    size = depth.shape[0]
    for n in range(projected.shape[0]):
        lit = 0
        for t in range(taps.shape[0]):
            x = int(np.floor(projected[n, 0] + taps[t, 0] * softness + 0.5))
            y = int(np.floor(projected[n, 1] + taps[t, 1] * softness + 0.5))
            if x < 0 or y < 0 or x >= size or y >= size or depth[y, x] > projected[n, 2] - bias:
                lit += 1
        out[n] = lit / taps.shape[0]


def _percentage_closer(projected, depth, bias, softness, out) -> None:
    _filtered(projected, depth, np.float32(bias), np.float32(softness), _TAPS, out)


@numba.njit(cache=True, fastmath=True, nogil=True)
def _shade(normals, views, albedo, gloss, sun, sky, direction, sun_color, sky_color, ground_color, out):
    for n in range(normals.shape[0]):
        nx, ny, nz = normals[n, 0], normals[n, 1], normals[n, 2]
        facing = nx * views[n, 0] + ny * views[n, 1] + nz * views[n, 2]
        toward = max(nx * direction[0] + ny * direction[1] + nz * direction[2], 0.0)
        hx, hy, hz = (
            direction[0] + views[n, 0],
            direction[1] + views[n, 1],
            direction[2] + views[n, 2],
        )
        length = np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9
        shine = max((nx * hx + ny * hy + nz * hz) / length, 0.0) ** 22 * gloss[n] * sun[n]
        rim = 0.78 + 0.22 * np.sqrt(max(facing, 0.0))
        up = 0.5 + 0.5 * nz
        for c in range(3):
            around = (sky_color[c] * up + ground_color[c] * (1 - up)) * sky[n] * rim
            out[n, c] = albedo[n, c] * (around + sun_color[c] * toward * sun[n]) + shine * sun_color[c]


def shade(
    light: Light,
    normals: np.ndarray,
    views: np.ndarray,
    albedo: np.ndarray,
    gloss: np.ndarray,
    sun: np.ndarray,
    sky: np.ndarray,
) -> np.ndarray:
    """(N, 3) float32 radiance: diffuse sun, hemispheric sky, Blinn-Phong highlight.

    `sun` and `sky` (N,) say how much of each reaches the point; `views` (N, 3) point to the camera.
    """
    out = np.empty((len(normals), 3), np.float32)
    _shade(
        normals, views, albedo, gloss, sun, sky, light.direction,
        light.color * np.float32(light.strength), light.ambient_color * np.float32(light.ambient),
        light.ground_color * np.float32(light.ambient), out,
    )  # fmt: skip
    return out
