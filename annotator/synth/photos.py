"""The few photographs that dress walls, grounds and shirts: scikit-image's, all CC0, none with a person."""

from __future__ import annotations

from functools import cache

import numpy as np

# https://scikit-image.org/docs/stable/api/skimage.data.html states CC0 for each of these. "motorcycle" has
# no clear licence and "astronaut" and "camera" show people, so they stay out.
NAMES = ("coffee", "chelsea", "brick", "grass", "gravel")


@cache
def photos() -> tuple[np.ndarray, ...]:
    """(H, W, 3) float32 RGB in 0..1 each."""
    from skimage import data

    loaded = []
    for name in NAMES:
        image = getattr(data, name)().astype(np.float32) / 255
        if image.ndim == 2:
            image = np.repeat(image[:, :, None], 3, 2)
        loaded.append(np.ascontiguousarray(image[..., :3]))
    return tuple(loaded)


def random_photo(rng: np.random.Generator) -> np.ndarray:
    """One of the photographs with its colours shifted, so that five look like many."""
    image = photos()[rng.integers(len(NAMES))]
    if (image[::16, ::16, 0] == image[::16, ::16, 2]).all():  # a grey texture takes any tint
        return image * np.float32(rng.uniform(0.45, 1.4)) * rng.uniform(0.75, 1.2, 3).astype(np.float32)
    mixed = image[..., rng.permutation(3)] if rng.random() < 0.5 else image
    return mixed * rng.uniform(0.7, 1.25, 3).astype(np.float32)


def random_crop(rng: np.random.Generator, width: int, height: int, smallest: float = 0.35) -> np.ndarray:
    """(height, width, 3) of a random part of a random photograph, perhaps mirrored or turned."""
    import cv2

    image = random_photo(rng)
    if rng.random() < 0.5:
        image = image[:, ::-1]
    if rng.random() < 0.2:
        image = image[::-1]
    h, w = image.shape[:2]
    ch = max(8, int(h * rng.uniform(smallest, 1)))
    cw = min(w, max(8, int(ch * width / height)))
    y, x = rng.integers(h - ch + 1), rng.integers(w - cw + 1)
    crop = np.ascontiguousarray(image[y : y + ch, x : x + cw])
    return cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR)
