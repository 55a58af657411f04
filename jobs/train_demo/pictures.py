"""What the detector learns from: pictures as arrays mapped into memory, and views of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from cameras import Perturb
from make_arrays import LABELS, PIXELS
from mmcv.transforms import BaseTransform
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.registry import DATASETS, MODELS, TRANSFORMS
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from torch.utils.data import Dataset


@DATASETS.register_module()
class PictureArrays(Dataset):
    """Pictures that `make_arrays.py` wrote, a part a folder, through transforms of MMDetection.

    Nothing is decoded or parsed while training.

    Args:
        parts: folders with `pixels.npy` (N, H, W, 3) uint8 BGR and `labels.npz`.
        pipeline: transforms; a picture enters as `img` with its boxes.
    """

    def __init__(self, parts: Sequence[str], pipeline: list[dict]) -> None:
        init_default_scope("mmdet")
        self.pipeline = Compose(pipeline)
        self.samples = [sample for part in parts for sample in _pictures(Path(part))]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict:
        pixels, i, boxes = self.samples[index]
        shape = pixels.shape[1:3]
        packed = self.pipeline(
            {
                "img": np.ascontiguousarray(pixels[i]),
                "img_id": index,
                "img_shape": shape,
                "ori_shape": shape,
                "gt_bboxes": boxes,
                "gt_bboxes_labels": np.zeros(len(boxes), np.int64),
                "gt_ignore_flags": np.zeros(len(boxes), bool),
            }
        )
        assert packed is not None, "a transform refused a sample"
        return packed


def _pictures(part: Path) -> list[tuple[np.ndarray, int, np.ndarray]]:
    """All pixels of a part, which of them, and the boxes (N, 4) there, of each picture."""
    pixels = np.load(part / PIXELS, mmap_mode="r")
    with np.load(part / LABELS) as file:
        bboxes, starts = file["bboxes"], file["starts"]
    return [(pixels, i, bboxes[starts[i] : starts[i + 1]]) for i in range(len(starts) - 1)]


@MODELS.register_module()
class PerturbedDetPreprocessor(DetDataPreprocessor):
    """MMDetection's preprocessor, after `Perturb` while training; the views of a batch are of one size.

    Args:
        perturb: arguments of `Perturb`.
    """

    def __init__(self, perturb: dict, **settings: Any) -> None:
        super().__init__(**settings)
        self.perturb = Perturb(**perturb)

    def forward(self, data: dict, training: bool = False) -> dict:
        if training:
            data = {**data, "inputs": list(self.perturb(torch.stack(data["inputs"]).float()))}
        return super().forward(data, training)


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
