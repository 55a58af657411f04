"""Boxes that hold nobody, as a detector finds them too: where no joint is, no heatmap shall rise."""

from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from perturb import generator

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


@TRANSFORMS.register_module()
class Jumble(BaseTransform):
    """Some people made into nobody: skin and clothes are left, as tiles that changed places or as blobs.

    Changes `img` (H, W, 3) uint8, `parts` and `nobody`.

    Args:
        probability: share of the people that this happens to.
    """

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def transform(self, results: dict) -> dict:
        rng = generator()
        if rng.random() < self.probability:
            img = results["img"]
            results["img"] = blobs(rng, img) if rng.random() < 0.6 else tiles(rng, img)
            results["parts"] = np.zeros_like(results["parts"])
            results["nobody"] = True
        return results


def tiles(rng: np.random.Generator, img: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) cut into tiles that change places; a head or a hand lies in several."""
    columns, rows = rng.integers(5, 11), rng.integers(7, 14)
    h, w = img.shape[0] // rows, img.shape[1] // columns
    cut = img[: rows * h, : columns * w].reshape(rows, h, columns, w, 3).swapaxes(1, 2)
    cut = cut.reshape(rows * columns, h, w, 3)[rng.permutation(rows * columns)]
    moved = img.copy()
    moved[: rows * h, : columns * w] = (
        cut.reshape(rows, columns, h, w, 3).swapaxes(1, 2).reshape(rows * h, columns * w, 3)
    )
    return moved


def blobs(rng: np.random.Generator, img: np.ndarray) -> np.ndarray:
    """Round and square things of an image's (H, W, 3) own surfaces, before its colours without a shape."""
    height, width = img.shape[:2]
    out = cv2.GaussianBlur(tiles(rng, img), (0, 0), rng.uniform(2, 12))
    for _ in range(rng.integers(3, 9)):
        # Surfaces are turned and enlarged: what they show is a part of a limb or a face, not all of it.
        turn = cv2.getRotationMatrix2D(
            (rng.uniform(0, width), rng.uniform(0, height)), rng.uniform(0, 360), rng.uniform(2.5, 5)
        )
        surface = cv2.warpAffine(img, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
        mask = np.zeros((height, width), np.uint8)
        centre = rng.uniform(0.1, 0.9, 2) * (width, height)
        axes = np.exp(rng.uniform(np.log(0.15), np.log(0.8), 2)) * width
        shape = (centre.tolist(), axes.tolist(), rng.uniform(0, 180))
        if rng.random() < 0.7:
            cv2.ellipse(mask, shape, 255, -1)
        else:
            cv2.fillPoly(mask, [cv2.boxPoints(shape).astype(np.int32)], 255)
        share = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.4, 1.2))[..., None] / 255.0
        shade = rng.uniform(0.6, 1.3)
        out = np.clip(out * (1 - share) + surface * (share * shade), 0, 255).astype(np.uint8)
    return out


@TRANSFORMS.register_module()
class ExpectNobody(BaseTransform):
    """Of a sample of `nobody`, all joints are asked for, and every heatmap is empty."""

    def transform(self, results: dict) -> dict:
        if results["nobody"]:
            results["heatmaps"] = np.zeros_like(results["heatmaps"])
            results["keypoint_weights"] = np.ones_like(results["keypoint_weights"])
        return results
