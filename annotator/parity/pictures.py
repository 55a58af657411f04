"""What the comparisons look at: photos of a folder, or synthetic people, and boxes of all sizes in them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from annotator.errors import ItemError, UserError

_SYNTHETIC = (480, 360)


@dataclass(frozen=True)
class Picture:
    """A picture and regions to look at.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        boxes: (N, 4) float64 [x1, y1, x2, y2], pixels.
    """

    pixels: np.ndarray
    boxes: np.ndarray


def synthetic(count: int) -> list[Picture]:
    """Pictures of synthetic people with their boxes, `count` boxes in all."""
    from annotator.synth import generate_image

    pictures: list[Picture] = []
    left = count
    for index in itertools.count():
        if left <= 0:
            return pictures
        pixels, people = generate_image(0, index, _SYNTHETIC, people=3)
        boxes = np.array([person["bbox"] for person in people], np.float64).reshape(-1, 4)[:left]
        boxes[:, 2:] += boxes[:, :2]
        pictures.append(Picture(pixels, boxes))
        left -= len(boxes)
    raise AssertionError("unreachable")


def from_folder(folder: str, count: int) -> list[Picture]:
    """The first readable pictures of a folder, with made-up boxes, `count` in all, two a picture.

    Raises:
        UserError: no such folder, or no picture in it can be read.
    """
    from annotator.media.image import ImageLimits, read_image

    root = Path(folder).expanduser()
    if not root.is_dir():
        raise UserError(f"--images {folder}: no such folder")
    pictures: list[Picture] = []
    for path in sorted(root.rglob("*")):
        if 2 * len(pictures) >= count:
            break
        if not path.is_file():
            continue
        try:
            pixels = read_image(str(path), ImageLimits()).pixels
        except ItemError:
            continue
        boxes = made_boxes(pixels.shape[:2], min(2, count - 2 * len(pictures)), seed=len(pictures))
        pictures.append(Picture(pixels, boxes))
    if not pictures:
        raise UserError(f"--images {folder}: no picture in it can be read")
    return pictures


def made_boxes(shape: Sequence[int], count: int, seed: int) -> np.ndarray:
    """(count, 4) boxes of people's proportions, some reaching out of a picture of (height, width) `shape`."""
    rng = np.random.default_rng(seed)
    height, width = shape
    h = rng.uniform(0.2, 1.0, count) * height
    w = h * rng.uniform(0.3, 0.9, count)
    x, y = rng.uniform(-0.1, 0.8, count) * width, rng.uniform(-0.1, 0.6, count) * height
    return np.stack([x, y, x + w, y + h], axis=1)
