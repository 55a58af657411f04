"""Pictures and people as arrays mapped into memory: nothing is decoded or parsed while training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from make_arrays import LABELS, PARTS, PARTS_SIZE, PIXELS
from mmdet.registry import DATASETS as MMDET_DATASETS
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS as MMPOSE_DATASETS
from nobody import empty_box, shows_something
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
        pictures: parts of pictures, for boxes in them that hold nobody, beside `people`.
        nobody: how many of such boxes there are for each person; another one each time.
    """

    def __init__(
        self,
        parts: Sequence[str],
        pipeline: list[dict],
        kind: str,
        fewest: int = 0,
        pictures: Sequence[str] = (),
        nobody: float = 0.0,
    ) -> None:
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
        self.empty = [sample for part in pictures for sample in _empty(Path(part))]
        self.count = len(self.samples) + (round(nobody * len(self.samples)) if self.empty else 0)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict:
        if index >= self.count:
            raise IndexError(index)
        if index < len(self.samples):
            maps, i, sample = self.samples[index]
        else:
            maps, i, sample = self.empty[np.random.randint(len(self.empty))]
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
                "nobody": False,
                "id": i,
                "img_id": i,
            },
        )
        for i in range(len(keypoints))
        if visible[i] >= fewest
    ]


def _empty(part: Path) -> list[tuple[dict[str, np.ndarray], int, dict[str, Any]]]:
    """One box that holds nobody of each picture of a part where one is found that shows something."""
    maps = {"img": np.load(part / PIXELS, mmap_mode="r")}
    with np.load(part / LABELS) as file:
        bboxes, starts = file["bboxes"], file["starts"]
    rng = np.random.default_rng(len(bboxes))
    samples = []
    for i in range(len(starts) - 1):
        box = empty_box(rng, maps["img"].shape[2:0:-1], bboxes[starts[i] : starts[i + 1]])
        if box is not None and shows_something(maps["img"][i], box):
            sample = {
                "parts": np.zeros(PARTS_SIZE[::-1], np.uint8),
                "bbox": box[None],
                "bbox_score": np.ones(1, np.float32),
                "keypoints": np.zeros((1, 17, 2), np.float32),
                "keypoints_visible": np.zeros((1, 17), np.float32),
                "flip_indices": FLIPPED,
                "nobody": True,
                "id": i,
                "img_id": i,
            }
            samples.append((maps, i, sample))
    return samples


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
