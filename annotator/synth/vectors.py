"""Short vectors and colours as float32 arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def f32(values: ArrayLike) -> np.ndarray:
    """`values` as a float32 array."""
    return np.asarray(values, np.float32)
