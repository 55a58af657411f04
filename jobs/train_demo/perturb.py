"""What cameras, compression and things in the way do to a picture: from drawn people towards photos."""

from __future__ import annotations

import os

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
        rng = generator()
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
class RandomTopdown(BaseTransform):
    """Cut the region around a person, shifted, scaled, turned and mirrored, in one warp.

    The same as MMPose's GetBBoxCenterScale, RandomFlip, RandomBBoxTransform and TopdownAffine (UDP), at a
    tenth of their time. Needs `bbox` (1, 4), `keypoints` (1, K, 2), `keypoints_visible` (1, K),
    `flip_indices`, and `parts` (h, w), whose classes come out at the size of the heatmaps.

    Args:
        input_size: of the network, (width, height) in pixels.
        heatmap_size: of its output.
        padding: of the box.
        shift: largest shift, as a share of the region's sides.
        scale: smallest and largest factor on the region, drawn log-uniformly.
        turn: largest rotation in degrees, for half of the people.
    """

    def __init__(
        self,
        input_size: tuple[int, int],
        heatmap_size: tuple[int, int],
        shift: float,
        scale: tuple[float, float],
        turn: float,
        padding: float = 1.25,
    ) -> None:
        self.size = input_size
        self.heatmap_size = heatmap_size
        self.shift = shift
        self.scale = tuple(np.log(scale))
        self.turn = turn
        self.padding = padding

    def transform(self, results: dict) -> dict:
        u = np.random.random_sample(7)
        x1, y1, x2, y2 = results["bbox"][0].tolist()
        width, height = self.size
        aspect = width / height
        wide = max((x2 - x1), (y2 - y1) * aspect) * self.padding
        x = (x1 + x2) / 2 + (2 * u[0] - 1) * self.shift * wide
        y = (y1 + y2) / 2 + (2 * u[1] - 1) * self.shift * wide / aspect
        wide *= np.exp(self.scale[0] + u[2] * (self.scale[1] - self.scale[0]))
        angle = np.deg2rad((2 * u[3] - 1) * self.turn) if u[4] < 0.5 else 0.0
        mirror = u[5] < 0.5
        zoom = (width - 1) / wide
        cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
        turned = np.array([[cos, -sin], [sin, cos]])
        if mirror:
            turned[0] *= -1
        matrix = np.empty((2, 3))
        matrix[:, :2] = turned
        matrix[:, 2] = ((width - 1) / 2, (height - 1) / 2) - turned @ (x, y)
        img, parts = results["img"], results["parts"]
        results["img"] = cv2.warpAffine(img, matrix, self.size, flags=cv2.INTER_LINEAR)
        # UDP aligns the first and last pixels of input and heatmap.
        shrink = (np.array(self.heatmap_size) - 1) / (np.array(self.size) - 1)
        grow = img.shape[1] / parts.shape[1]
        to_heatmap = shrink[:, None] * matrix
        to_heatmap[:, 2] += to_heatmap[:, :2].sum(1) * (grow - 1) / 2
        to_heatmap[:, :2] *= grow
        parts = np.asarray(
            cv2.warpAffine(parts, to_heatmap, self.heatmap_size, flags=cv2.INTER_NEAREST), np.uint8
        )
        results["parts"] = MIRRORED_PARTS[parts] if mirror else parts
        keypoints = results["keypoints"][0] @ turned.T.astype(np.float32) + matrix[:, 2].astype(np.float32)
        visible = results["keypoints_visible"]
        if mirror:
            keypoints = keypoints[results["flip_indices"]]
            visible = visible[:, results["flip_indices"]]
        results["keypoints"] = results["transformed_keypoints"] = keypoints[None]
        results["keypoints_visible"] = visible
        return results


@TRANSFORMS.register_module()
class RandomView(BaseTransform):
    """A part of a picture, scaled and perhaps mirrored, or all of it with a margin, in one warp.

    The same as MMDetection's RandomResize, RandomCrop, RandomFlip and Pad.

    Args:
        size: of what the network sees, (width, height) in pixels.
        scale: smallest and largest factor on the picture's pixels, drawn log-uniformly.
        smallest: pixels; people of whom less is left in width or height are no truth.
    """

    def __init__(self, size: tuple[int, int], scale: tuple[float, float], smallest: float) -> None:
        self.size = size
        self.scale = tuple(np.log(scale))
        self.smallest = smallest

    def transform(self, results: dict) -> dict:
        u = np.random.random_sample(4)
        zoom = np.exp(self.scale[0] + u[0] * (self.scale[1] - self.scale[0]))
        size = np.array(self.size)
        # Room is negative where the view is larger than the picture: the rest is grey.
        room = np.array(results["img"].shape[1::-1]) * zoom - size
        shift = -u[1:3] * room
        # Boxes go by the edges of pixels, the warp by their centres, half a pixel further.
        across, offset = zoom, shift + (zoom - 1) / 2
        boxes = results["gt_bboxes"] * zoom + np.tile(shift, 2)
        if u[3] < 0.5:
            across = -zoom
            offset[0] = size[0] - 1 - offset[0]
            boxes[:, [0, 2]] = size[0] - boxes[:, [2, 0]]
        matrix = np.array([[across, 0, offset[0]], [0, zoom, offset[1]]])
        results["img"] = cv2.warpAffine(
            results["img"], matrix, self.size, flags=cv2.INTER_LINEAR, borderValue=(114, 114, 114)
        )
        boxes = boxes.reshape(-1, 2, 2).clip(0, size).reshape(-1, 4)
        kept = ((boxes[:, 2:] - boxes[:, :2]) >= self.smallest).all(1)
        results["gt_bboxes"] = boxes[kept].astype(np.float32)
        results["gt_bboxes_labels"] = results["gt_bboxes_labels"][kept]
        results["gt_ignore_flags"] = results["gt_ignore_flags"][kept]
        results["img_shape"] = self.size[::-1]
        results["scale_factor"] = (zoom, zoom)
        return results


# Classes of `make_arrays.py`: left and right of arms and legs change places in a mirror.
MIRRORED_PARTS = np.arange(18, dtype=np.uint8)
MIRRORED_PARTS[3:15] = MIRRORED_PARTS[3:15].reshape(6, 2)[:, ::-1].ravel()

_generators: dict[int, np.random.Generator] = {}


def generator() -> np.random.Generator:
    """This process's own, seeded from the state that MMEngine gives each loader."""
    process = os.getpid()
    if process not in _generators:
        _generators[process] = np.random.default_rng(np.random.randint(2**31))
    return _generators[process]


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
