"""What cameras, compression and things in the way do to a picture: from drawn people towards photos."""

from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class Perturb(BaseTransform):
    """Light, colour, blur, noise, JPEG and patches, each with its own probability.

    Changes `img` (H, W, 3) uint8 BGR; boxes and joints stay where they are. Works on the small picture that
    the network sees: half a millisecond for 96x128.

    Args:
        amount: factor on all probabilities. The pictures are noisy, dim and blurred themselves: in a short
            training more than a little only slows the learning down.
        patches: probability of patches of noise or of one colour (Cutout, Random Erasing).
        largest: longest side of a patch, as a share of the picture's.
    """

    def __init__(self, amount: float = 1.0, patches: float = 0.5, largest: float = 0.4) -> None:
        self.amount = amount
        self.patches = patches
        self.largest = largest

    def transform(self, results: dict) -> dict:
        rng = np.random.default_rng(np.random.randint(2**31))
        img = results["img"]
        if rng.random() < 0.8 * self.amount:
            img = relight(rng, img)
        if rng.random() < 0.25 * self.amount:
            img = recolour(rng, img)
        if rng.random() < 0.4 * self.amount:
            img = blur(rng, img)
        if rng.random() < 0.3 * self.amount:
            noise = rng.normal(0, rng.uniform(2, 18), (*img.shape[:2], 1 if rng.random() < 0.5 else 3))
            img = np.clip(img + noise, 0, 255).astype(np.uint8)
        if rng.random() < 0.15 * self.amount:
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 60))]
            img = cv2.imdecode(cv2.imencode(".jpg", img, quality)[1], cv2.IMREAD_COLOR)
        if rng.random() < self.patches * self.amount:
            img = cover(rng, np.ascontiguousarray(img), self.largest)
        results["img"] = np.ascontiguousarray(img)
        return results


@TRANSFORMS.register_module()
class RandomRegion(BaseTransform):
    """Shift, scale and turn the region around a person: MMPose's RandomBBoxTransform at a tenth of its time.

    Args:
        shift: largest shift, as a share of the region's sides.
        scale: smallest and largest factor on the region, drawn log-uniformly.
        turn: largest rotation in degrees, for half of the people.
    """

    def __init__(self, shift: float, scale: tuple[float, float], turn: float) -> None:
        self.shift = shift
        self.scale = tuple(np.log(scale))
        self.turn = turn

    def transform(self, results: dict) -> dict:
        rng = np.random.default_rng(np.random.randint(2**31))
        results["bbox_center"] = results["bbox_center"] + (
            rng.uniform(-self.shift, self.shift, 2) * results["bbox_scale"]
        )
        results["bbox_scale"] = results["bbox_scale"] * np.exp(rng.uniform(*self.scale))
        turned = rng.random() < 0.5
        results["bbox_rotation"] = np.array([rng.uniform(-self.turn, self.turn) if turned else 0.0])
        return results


def relight(rng: np.random.Generator, img: np.ndarray) -> np.ndarray:
    """Exposure, contrast, gamma, and a tint of each channel."""
    ramp = np.arange(256, dtype=np.float32)[:, None] / 255
    gamma = np.exp(rng.normal(0, 0.25))
    gain = np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.08, 3))
    offset = rng.normal(0, 0.05) + rng.normal(0, 0.02, 3)
    table = np.clip((ramp**gamma * gain + offset) * 255, 0, 255).astype(np.uint8)
    return cv2.LUT(img, table[None])


def recolour(rng: np.random.Generator, img: np.ndarray) -> np.ndarray:
    """Less or more colour, grey at times, or the channels in another order."""
    kind = rng.random()
    if kind < 0.25:
        return np.ascontiguousarray(img[..., rng.permutation(3)])
    grey = cv2.cvtColor(cv2.cvtColor(img, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if kind < 0.45:
        return grey
    amount = rng.uniform(0.2, 1.7)
    return cv2.addWeighted(img, amount, grey, 1 - amount, 0)


def blur(rng: np.random.Generator, img: np.ndarray) -> np.ndarray:
    """Out of focus, in motion, or enlarged from fewer pixels."""
    kind = rng.random()
    if kind < 0.4:
        return cv2.GaussianBlur(img, (0, 0), rng.uniform(0.4, 1.6))
    if kind < 0.6:
        kernel = np.zeros((5, 5), np.float32)
        kernel[2] = 0.2
        return cv2.filter2D(img, -1, kernel if rng.random() < 0.5 else kernel.T)
    height, width = img.shape[:2]
    share = rng.uniform(0.3, 0.8)
    small = cv2.resize(
        img, (max(8, int(width * share)), max(8, int(height * share))), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def cover(rng: np.random.Generator, img: np.ndarray, largest: float) -> np.ndarray:
    """One to three patches of one colour, of noise, or of another part of the picture."""
    height, width = img.shape[:2]
    for _ in range(rng.integers(1, 4)):
        h, w = (int(rng.uniform(0.08, largest) * side) for side in (height, width))
        y, x = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
        kind = rng.random()
        if kind < 0.4:
            img[y : y + h, x : x + w] = rng.integers(0, 256, 3)
        elif kind < 0.6:
            img[y : y + h, x : x + w] = rng.integers(0, 256, (h, w, 3))
        else:
            v, u = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
            img[y : y + h, x : x + w] = img[v : v + h, u : u + w].copy()
    return img
