"""Load without cost: a small stock of drawn people pasted on a small stock of backgrounds, truth included."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np

from annotator.synth.annotations import to_coco, track_id
from annotator.synth.background import Background
from annotator.synth.camera import Camera
from annotator.synth.light import sample_light
from annotator.synth.noise import noise_image
from annotator.synth.pattern import cloth_color
from annotator.synth.person import sample_placed
from annotator.synth.render import render
from annotator.synth.scene import Scene
from annotator.synth.seeds import FILMS, IMAGES, SPRITES, generator
from annotator.synth.visibility import SMALLEST_AREA, Truth, annotate

STOCK = 12
_SIDE = 200  # pixels of a sprite


@dataclass(frozen=True)
class Sprite:
    """One person alone: (h, w, 3) uint8, (h, w) float32 cover, (17, 3) keypoints of the cut-out."""

    pixels: np.ndarray
    cover: np.ndarray
    keypoints: np.ndarray
    pose: str


@cache
def _sprite(number: int) -> Sprite:
    rng = generator(0, SPRITES, number)
    camera = Camera(_SIDE, _SIDE, 1.45 * _SIDE, (0.0, 0.0, 1.2), 4.0)
    placed = sample_placed(rng, 0.0, 3.4, float(rng.normal(0, 50)))
    empty = np.zeros((_SIDE, _SIDE), bool)
    background = Background(np.full((_SIDE, _SIDE, 3), 0.5, np.float32), empty, "studio")
    scene = Scene(camera, sample_light(rng), (placed,), (), background)
    frame = render(scene)
    cover = cv2.resize((frame.owner == 0).astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    truth = annotate(scene, frame)[0]
    x, y, w, h = (int(v) for v in truth.bbox)
    window = (slice(y, y + h), slice(x, x + w))
    keypoints = truth.keypoints.copy()
    keypoints[:, :2] -= (x, y)
    pixels = (np.clip(frame.pixels, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Sprite(pixels[window].copy(), cover[window].copy(), keypoints, truth.pose)


@cache
def _backdrop(number: int, size: tuple[int, int]) -> np.ndarray:
    rng = generator(0, SPRITES, 1000 + number)
    grey = noise_image((size[1], size[0]), 6, 4, rng.uniform(0, 90))[..., None]
    return np.clip((cloth_color(rng) * 0.7 + 0.2 + 0.15 * grey) * 255, 0, 255).astype(np.uint8)


def compose(
    backdrop: np.ndarray, cast: list[tuple[int, float, float, float, bool]]
) -> tuple[np.ndarray, list[Truth]]:
    """Paste sprites in order, later ones in front.

    Args:
        backdrop: (H, W, 3) uint8.
        cast: (sprite, left, top, height in pixels, mirrored) each; whole pixels are used.

    Returns:
        The picture, and the truth of everyone of whom enough is seen; `identity` is the place in `cast`.
    """
    image = backdrop.copy()
    height, width = image.shape[:2]
    owner = np.full((height, width), -1, np.int16)
    joints = []
    for i, (number, left, top, tall, mirrored) in enumerate(cast):
        sprite = _sprite(number % STOCK)
        h = max(4, round(tall))
        w = max(2, round(tall / sprite.cover.shape[0] * sprite.cover.shape[1]))
        x, y = round(left), round(top)
        joints.append(_moved(sprite, x, y, w, h, mirrored))
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
        if x0 >= x1 or y0 >= y1:
            continue
        cover = cv2.resize(sprite.cover, (w, h), interpolation=cv2.INTER_AREA)
        pixels = cv2.resize(sprite.pixels, (w, h), interpolation=cv2.INTER_AREA)
        if mirrored:
            cover, pixels = cover[:, ::-1], pixels[:, ::-1]
        inner = (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))
        outer = (slice(y0, y1), slice(x0, x1))
        solid = cover[inner] >= 0.5
        image[outer][solid] = pixels[inner][solid]
        owner[outer][solid] = i
    truths = []
    for i, keypoints in enumerate(joints):
        mask = owner == i
        area = int(mask.sum())
        if area < SMALLEST_AREA:
            continue
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        bbox = (float(columns[0]), float(rows[0]), float(np.ptp(columns) + 1), float(np.ptp(rows) + 1))
        truths.append(
            Truth(i, i, bbox, area, mask, _seen(keypoints, owner, i), _sprite(cast[i][0] % STOCK).pose)
        )
    return image, truths


def _moved(sprite: Sprite, x: int, y: int, w: int, h: int, mirrored: bool) -> np.ndarray:
    """(17, 3) keypoints of a sprite scaled to w x h and put at (x, y); a mirrored left is a right."""
    from annotator.skeletons import COCO_17

    out = sprite.keypoints.copy()
    absent = out[:, 2] == 0
    out[:, 0] = (out[:, 0] + 0.5) * w / sprite.cover.shape[1] - 0.5
    out[:, 1] = (out[:, 1] + 0.5) * h / sprite.cover.shape[0] - 0.5
    if mirrored:
        flipped = list(COCO_17.flip_indices)
        out[:, 0] = w - 1 - out[:, 0]
        out, absent = out[flipped], absent[flipped]
    out[:, :2] += (x, y)
    out[absent] = 0
    return out


def _seen(keypoints: np.ndarray, owner: np.ndarray, person: int) -> np.ndarray:
    """v drops to 1 where somebody else covers the joint, to 0 outside the picture."""
    out = keypoints.copy()
    height, width = owner.shape
    x, y = np.round(out[:, 0]).astype(int), np.round(out[:, 1]).astype(int)
    outside = (x < 0) | (y < 0) | (x >= width) | (y >= height)
    at = owner[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    out[(at != person) & (at != -1) & (out[:, 2] == 2), 2] = 1
    out[outside] = 0
    return out


def quick_image(
    seed: int, index: int, size: tuple[int, int] = (160, 120)
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """As `generate_image`, from the stock: much quicker, little variety."""
    rng = generator(seed, IMAGES, index)
    width, height = size
    cast = []
    for _ in range(int(rng.choice([0, 1, 2, 3, 4], p=[0.05, 0.35, 0.3, 0.2, 0.1]))):
        tall = height * rng.uniform(0.35, 0.95)
        left, top = rng.uniform(-0.15, 0.9) * width, rng.uniform(0, 1) * (height - 0.8 * tall)
        cast.append((int(rng.integers(STOCK)), left, top, tall, bool(rng.random() < 0.5)))
    image, truths = compose(_backdrop(int(rng.integers(8)), size), cast)
    return image, [to_coco(truth) for truth in truths]


class QuickFilm:
    """As `Film`, from the stock: people slide to and fro across the picture, for as long as one likes."""

    def __init__(self, seed: int, index: int, size: tuple[int, int]) -> None:
        rng = generator(seed, FILMS, index)
        self._size, self._index = size, index
        self._backdrop = _backdrop(int(rng.integers(8)), size)
        # sprite, seconds a crossing, phase, top and height as shares of the picture
        self._cast = [
            (
                int(rng.integers(STOCK)),
                rng.uniform(4, 9),
                rng.random(),
                rng.uniform(0.02, 0.3),
                rng.uniform(0.5, 0.8),
            )
            for _ in range(int(rng.integers(2, 5)))
        ]

    def frame(self, number: int, fps: float) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """Frame `number`: (H, W, 3) uint8 RGB and COCO annotations with `track_id`."""
        width, height = self._size
        cast = []
        for sprite, seconds, phase, top, tall in self._cast:
            way = (number / fps / seconds + phase) % 2
            x = way if way < 1 else 2 - way
            cast.append((sprite, (x * 1.1 - 0.15) * width, top * height, tall * height, way >= 1))
        image, truths = compose(self._backdrop, cast)
        return image, [{**to_coco(t), "track_id": track_id(self._index, t.identity)} for t in truths]
