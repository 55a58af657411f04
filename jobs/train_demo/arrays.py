"""Pictures and people as arrays mapped into memory: nothing is decoded or parsed while training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from make_arrays import LABELS, PARTS, PIXELS
from mmdet.registry import DATASETS as MMDET_DATASETS
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS as MMPOSE_DATASETS
from torch.utils.data import Dataset


@MMPOSE_DATASETS.register_module()
@MMDET_DATASETS.register_module()
class ArrayDataset(Dataset):
    """What `make_arrays.py` wrote, a part a folder, through transforms of MMPose or MMDetection.

    Args:
        parts: folders with `pixels.npy` (N, H, W, 3) uint8 BGR and `labels.npz`, for people `parts.npy`
            (N, h, w) uint8 too.
        pipeline: transforms; a sample enters as `img` and what the labels hold of it.
        kind: "people" or "pictures".
        fewest: joints that a person must have in view, of `people`.
    """

    def __init__(self, parts: Sequence[str], pipeline: list[dict], kind: str, fewest: int = 0) -> None:
        init_default_scope("mmpose" if kind == "people" else "mmdet")
        self.pipeline = Compose(pipeline)
        self.samples: list[tuple[dict[str, np.ndarray], int, dict[str, Any]]] = []
        read: Callable = _people if kind == "people" else _pictures
        for part in parts:
            maps = {"img": np.load(Path(part) / PIXELS, mmap_mode="r")}
            if kind == "people":
                maps["parts"] = np.load(Path(part) / PARTS, mmap_mode="r")
            with np.load(Path(part) / LABELS) as file:
                labels = dict(file)
            self.samples += [(maps, i, sample) for i, sample in read(labels, fewest)]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict:
        maps, i, sample = self.samples[index]
        arrays = {name: np.ascontiguousarray(array[i]) for name, array in maps.items()}
        shape = arrays["img"].shape[:2]
        packed = self.pipeline({**sample, **arrays, "img_shape": shape, "ori_shape": shape})
        assert packed is not None, "a transform refused a sample"
        return packed


def _people(labels: dict[str, np.ndarray], fewest: int) -> list[tuple[int, dict[str, Any]]]:
    keypoints, visible, boxes = labels["keypoints"], labels["visible"], labels["bboxes"]
    return [
        (
            i,
            {
                "bbox": boxes[i : i + 1],
                "bbox_score": np.ones(1, np.float32),
                "keypoints": keypoints[i : i + 1, :, :2],
                "keypoints_visible": np.minimum(keypoints[i : i + 1, :, 2], 1),
                "flip_indices": FLIPPED,
                "id": i,
                "img_id": i,
            },
        )
        for i in range(len(keypoints))
        if visible[i] >= fewest
    ]


def _pictures(labels: dict[str, np.ndarray], _: int) -> list[tuple[int, dict[str, Any]]]:
    starts = labels["starts"]
    return [
        (
            i,
            {
                "img_id": i,
                "gt_bboxes": labels["bboxes"][starts[i] : starts[i + 1]],
                "gt_bboxes_labels": np.zeros(starts[i + 1] - starts[i], np.int64),
                "gt_ignore_flags": np.zeros(starts[i + 1] - starts[i], bool),
            },
        )
        for i in range(len(starts) - 1)
    ]


FLIPPED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
