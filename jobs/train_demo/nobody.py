"""Boxes that hold nobody, as a detector finds them too."""

from __future__ import annotations

import numpy as np

TRIES = 12


def empty_box(rng: np.random.Generator, size: tuple[int, int], people: np.ndarray) -> np.ndarray | None:
    """A box (4,) x1 y1 x2 y2 in a picture of (width, height) that is free of people (N, 4), if one is found.

    Shaped like people, lying ones too. At most a tenth of it lies in anybody's box, and a quarter of
    anybody's box in it.
    """
    for _ in range(TRIES):
        height = size[1] * np.exp(rng.uniform(np.log(0.07), np.log(0.95)))
        width = min(height * np.exp(rng.uniform(np.log(0.25), np.log(1.8))), size[0])
        x, y = rng.uniform(0, size[0] - width), rng.uniform(0, size[1] - height)
        box = np.array([x, y, x + width, y + height], np.float32)
        sides = np.minimum(people[:, 2:], box[2:]) - np.maximum(people[:, :2], box[:2])
        shared = np.prod(sides.clip(0), axis=1)
        areas = np.prod(people[:, 2:] - people[:, :2], axis=1)
        if (shared <= 0.1 * width * height).all() and (shared <= 0.25 * areas).all():
            return box
    return None


def shows_something(picture: np.ndarray, box: np.ndarray) -> bool:
    """Whether a box (4,) in a picture (H, W, 3) uint8 is more than an even surface."""
    x1, y1, x2, y2 = box.astype(int)
    return float(picture[y1 : y2 + 1, x1 : x2 + 1].std(axis=(0, 1)).max()) > 20
