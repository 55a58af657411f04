"""Textures of floors and walls: colour at (u, v) in metres, faded where a pixel covers a whole repeat."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from annotator.synth.noise import noise
from annotator.synth.pattern import cloth_color
from annotator.synth.photos import random_photo
from annotator.synth.vectors import f32

# (N,) u, (N,) v, (N,) metres a pixel covers -> (N, 3)
Texture = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

KINDS = ("plain", "noise", "planks", "tiles", "brick", "grass", "asphalt", "carpet", "photo", "snow", "sand")
_INDOOR = (0.16, 0.1, 0.2, 0.14, 0.04, 0.0, 0.02, 0.16, 0.18, 0.0, 0.0)
_OUTDOOR = (0.03, 0.06, 0.03, 0.07, 0.05, 0.26, 0.18, 0.0, 0.16, 0.07, 0.09)
_WALL = (0.38, 0.12, 0.06, 0.1, 0.1, 0.0, 0.02, 0.06, 0.16, 0.0, 0.0)
_TINTS = {
    "grass": (0.25, 0.40, 0.14), "asphalt": (0.36, 0.36, 0.37), "brick": (0.55, 0.30, 0.22),
    "snow": (0.86, 0.89, 0.95), "sand": (0.72, 0.62, 0.46), "planks": (0.5, 0.36, 0.23),
}  # fmt: skip


def sample_texture(rng: np.random.Generator, where: str) -> Texture:
    """A texture for "indoor" or "outdoor" ground, or a "wall"."""
    rates = np.array({"indoor": _INDOOR, "outdoor": _OUTDOOR, "wall": _WALL}[where])
    kind = str(rng.choice(KINDS, p=rates / rates.sum()))
    first = cloth_color(rng) * 0.65 + 0.2
    if where == "wall" and rng.random() < 0.5:
        first = np.float32(rng.uniform(0.6, 0.92)) * rng.uniform(0.9, 1.02, 3).astype(np.float32)
    if kind in _TINTS:
        first = np.array(_TINTS[kind], np.float32) * rng.uniform(0.75, 1.25) * rng.uniform(0.93, 1.07, 3)
    second = np.clip(first * rng.uniform(0.65, 1.2), 0, 1).astype(np.float32)
    first = first.astype(np.float32)
    angle, repeat = rng.uniform(0, np.pi) if where != "wall" else 0.0, rng.uniform(0.8, 3.5)
    drift = rng.uniform(0, 97, 2)
    photo = random_photo(rng) if kind == "photo" else None
    span = rng.uniform(1.2, 3.5)

    def texture(u: np.ndarray, v: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        c, s = np.cos(angle), np.sin(angle)
        a, b = u * c + v * s + drift[0], v * c - u * s + drift[1]
        p = np.stack([a, b, np.zeros_like(a)], 1).astype(np.float32)

        def sharp(cycles: float) -> np.ndarray:
            return (1 / (1 + (footprint * cycles) ** 2)).astype(np.float32)

        broad = 0.12 * noise(p, 0.45, 2)
        if photo is not None:
            return _tiled(photo, a / span, b / span, footprint / span) * (1 + broad)[:, None]
        if kind == "plain":
            weight = 0.3 + broad
        elif kind in ("planks", "brick", "tiles"):
            across = {"planks": 6.0, "brick": 4.0, "tiles": repeat}[kind]
            down = {"planks": 0.45, "brick": 12.0, "tiles": repeat}[kind]
            row = np.floor(a * across) if kind == "planks" else np.floor(b * down)
            x = a * across + (0.5 * (row % 2) if kind == "brick" else 0)
            y = b * down + (0.37 * row if kind == "planks" else 0)
            joint = (x % 1 < 0.05) | (
                y % 1 < (0.12 if kind == "brick" else 0.04 if kind == "tiles" else 0.008)
            )
            tone = np.sin(np.floor(x) * 12.9898 + np.floor(y) * 78.233) * 43758.5453
            tone = (tone - np.floor(tone)).astype(np.float32)
            if kind == "tiles" and repeat > 2:
                tone = ((np.floor(x) + np.floor(y)) % 2).astype(np.float32)
            grain = noise(p * f32([14, 1, 1] if kind == "planks" else [6, 6, 1]), 1.5, 2)
            weight = 0.5 + (tone - 0.5) * sharp(across * 0.6) + (broad + 0.12 * grain * sharp(20))
            color = first * (1 - weight[:, None]) + second * weight[:, None]
            return color * (1 - 0.4 * (joint * sharp(max(across, down)))[:, None])
        else:
            scale = {"grass": 22.0, "asphalt": 45.0, "carpet": 30.0, "sand": 12.0, "snow": 1.2}.get(
                kind, repeat
            )
            weight = 0.5 + 0.5 * noise(p, scale, 3) * sharp(scale) + 2.2 * broad
            if kind == "grass":
                color = first * (1 - weight[:, None]) + first * f32([1.35, 1.15, 0.7]) * weight[:, None]
                return color
        return first * (1 - weight[:, None]) + second * weight[:, None]

    return texture


def _tiled(image: np.ndarray, a: np.ndarray, b: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """A photograph repeated in mirrored tiles, from the pyramid level that suits the footprint."""
    import cv2

    out = np.empty((len(a), 3), np.float32)
    level = np.clip(np.log2(np.maximum(footprint * image.shape[0], 1)), 0, 6).astype(int)
    for step in range(int(level.max()) + 1 if len(level) else 0):
        mask = level == step
        if mask.any():
            h, w = image.shape[:2]
            x = np.abs((a[mask] % 2) - 1) * (w - 1)
            y = np.abs((b[mask] % 2) - 1) * (h - 1)
            out[mask] = image[y.astype(int), x.astype(int)]
        if min(image.shape[:2]) < 8:
            out[level > step] = image.mean((0, 1))
            break
        image = cv2.pyrDown(np.ascontiguousarray(image, np.float32))
    return out
