"""Independent random streams of one seed: a picture's numbers depend on nothing that was made before it."""

from __future__ import annotations

import numpy as np

IMAGES, FILMS, SPRITES = 0, 1, 2


def generator(seed: int, kind: int, index: int) -> np.random.Generator:
    """The random numbers of one picture, film or sprite."""
    return np.random.default_rng([seed, kind, index])
