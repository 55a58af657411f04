"""Colours and woven or printed patterns, as functions of a point on the cloth in metres."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from annotator.synth.noise import noise
from annotator.synth.photos import NAMES, photos


def random_color(rng: np.random.Generator, saturation=(0.15, 0.9), value=(0.12, 0.95)) -> np.ndarray:
    """(3,) float32 RGB of any hue."""
    rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return np.array(rgb, np.float32)


def cloth_color(rng: np.random.Generator) -> np.ndarray:
    """(3,) float32: black, white, grey and denim as often as in a street, else any colour."""
    kind = rng.random()
    if kind < 0.14:
        return np.full(3, rng.uniform(0.03, 0.12), np.float32)
    if kind < 0.28:
        return np.full(3, rng.uniform(0.75, 0.97), np.float32) * rng.uniform(0.94, 1, 3).astype(np.float32)
    if kind < 0.40:
        return np.full(3, rng.uniform(0.12, 0.7), np.float32) * rng.uniform(0.93, 1.05, 3).astype(np.float32)
    if kind < 0.54:
        return np.array([0.12, 0.17, 0.30], np.float32) * np.float32(rng.uniform(0.4, 2.4))
    if kind < 0.64:
        return np.array([0.55, 0.43, 0.30], np.float32) * np.float32(rng.uniform(0.35, 1.4))
    return random_color(rng)


@dataclass(frozen=True)
class Pattern:
    """Two colours and how they alternate; `frequency` in repeats a metre."""

    kind: str
    first: np.ndarray
    second: np.ndarray
    frequency: float
    phase: float
    duty: float

    def paint(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) float32 albedo at (N, 3) points of the rest body."""
        q = points * np.float32(self.frequency) + np.float32(self.phase)
        x, z = q[:, 0] % 1, q[:, 2] % 1
        if self.kind == "stripes":
            mask = z < self.duty
        elif self.kind == "pinstripes":
            mask = x < self.duty * 0.4
        elif self.kind == "plaid":
            weight = (0.5 * (z < self.duty) + 0.5 * (x < self.duty)).astype(np.float32)[:, None]
            return self.first * (1 - weight) + self.second * weight
        elif self.kind == "blotches":
            mask = noise(points, self.frequency * 0.4, 2) > 0.2
        elif self.kind == "floral":
            mask = np.abs(noise(points, self.frequency * 0.8, 1)) < 0.18
        elif self.kind == "dots":
            mask = (x - 0.5) ** 2 + (z - 0.5) ** 2 < 0.07
        elif self.kind == "halves":
            mask = points[:, 2] > 0.1 + 0.25 * self.phase
        elif self.kind == "print":
            front = (np.abs(points[:, 0]) < 0.1) & (np.abs(points[:, 2] - 0.3) < 0.08) & (points[:, 1] < 0)
            mask = front & (noise(points, 45, 1) > -0.1)
        elif self.kind == "photo":
            image = photos()[int(self.phase * len(NAMES)) % len(NAMES)]
            h, w = image.shape[:2]
            size = h * self.frequency * 0.08
            picked = image[(points[:, 2] * -size).astype(int) % h, (points[:, 0] * size).astype(int) % w]
            return picked * (0.4 + self.first)
        else:
            return np.broadcast_to(self.first, points.shape).copy()
        return np.where(mask[:, None], self.second, self.first)


_KINDS = ("solid", "stripes", "pinstripes", "plaid", "blotches", "floral", "dots", "halves", "print", "photo")
_RATES = (0.52, 0.09, 0.03, 0.09, 0.06, 0.05, 0.03, 0.04, 0.06, 0.03)


def random_pattern(rng: np.random.Generator, solid: float = 0.0) -> Pattern:
    """A pattern; plain with probability `solid`, else as drawn from what people wear."""
    kind = "solid" if rng.random() < solid else str(rng.choice(_KINDS, p=_RATES))
    return Pattern(
        kind=kind,
        first=cloth_color(rng),
        second=cloth_color(rng),
        frequency=rng.uniform(8, 45),
        phase=rng.random(),
        duty=rng.uniform(0.25, 0.6),
    )
