"""People of `make_arrays.py`, held as tensors on the device that trains: a batch of them is one lookup."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from make_arrays import LABELS, NOBODY, PART, PARTS, PARTS_SIZE, PEOPLE, PERSON_SIZE, PIXELS
from mmengine.dist import get_rank, get_world_size
from torch import Tensor


class Crops(NamedTuple):
    """N cut-outs of pictures, of people or of nobody.

    Attributes:
        pixels: (N, 192, 144, 3) uint8 BGR. parts: (N, 96, 72) uint8, classes of `make_arrays.py`.
        joints: (N, 17, 2) float32, x and y in pixels. known: (N, 17) float32, 1 if known.
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels. nobody: (N,) bool.
    """

    pixels: Tensor
    parts: Tensor
    joints: Tensor
    known: Tensor
    boxes: Tensor
    nobody: Tensor


class Residents:
    """All finished parts of a folder of `make_arrays.py`, on a device; 90 KB a person.

    Processes that train together share the parts between them.

    Args:
        data: the folder.
        fewest: joints that a person must have in view.

    Attributes:
        crops: of people and of nobody. people, empty: (N,) and (M,) int64, which of them are which.
    """

    def __init__(self, data: Path, device: torch.device, fewest: int = 1) -> None:
        self.data = data
        self.fewest = fewest
        self.crops = _room(0, device)
        self._held: set[Path] = set()
        self._sort()

    def __len__(self) -> int:
        return len(self.people)

    def look(self) -> int:
        """Take in the parts that were finished since the last look; returns how many."""
        finished = {path.parent for kind in (PEOPLE, NOBODY) for path in self.data.glob(f"{kind}/*/{LABELS}")}
        mine = {part for part in finished if int(part.name) // PART % get_world_size() == get_rank()}
        new = [_Part(path, self.fewest) for path in sorted(mine - self._held)]
        first = len(self.crops.nobody)
        crops = _room(first + sum(len(part.rows) for part in new), self.crops.nobody.device)
        for held, values in zip(self.crops, crops, strict=True):
            values[:first] = held
        for part in new:
            last = first + len(part.rows)
            for read, values in zip(part.read(), crops, strict=True):
                values[first:last] = read.to(values.device)
            first = last
        self.crops = crops
        self._held |= mine
        self._sort()
        return len(new)

    def draw(self, people: int, nobody: int) -> Crops:
        """So many people at random, then so many crops of nobody."""
        rows = torch.cat([_some_of(self.people, people), _some_of(self.empty, nobody)])
        return Crops(*(values[rows] for values in self.crops))

    def _sort(self) -> None:
        self.people, self.empty = (
            torch.nonzero(kind)[:, 0] for kind in (~self.crops.nobody, self.crops.nobody)
        )


class _Part:
    """A part's labels, and which of its crops are worth learning from."""

    def __init__(self, path: Path, fewest: int) -> None:
        self.path = path
        with np.load(path / LABELS) as file:
            self.labels = dict(file)
        count = len(self.labels["bboxes"])
        self.nobody = path.parent.name == NOBODY
        self.rows = np.arange(count) if self.nobody else np.flatnonzero(self.labels["visible"] >= fewest)

    def read(self) -> Crops:
        count = len(self.rows)
        pixels = np.load(self.path / PIXELS, mmap_mode="r")[self.rows]
        parts = np.zeros((count, *PARTS_SIZE[::-1]), np.uint8)
        keypoints = np.zeros((count, 17, 3), np.float32)
        if not self.nobody:
            parts = np.load(self.path / PARTS, mmap_mode="r")[self.rows]
            keypoints = self.labels["keypoints"][self.rows]
        arrays = (
            pixels,
            parts,
            keypoints[..., :2],
            np.minimum(keypoints[..., 2], 1),
            self.labels["bboxes"][self.rows],
            np.full(count, self.nobody),
        )
        return Crops(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))


def _some_of(rows: Tensor, count: int) -> Tensor:
    return rows[torch.randint(max(len(rows), 1), (count,), device=rows.device)]


def _room(count: int, device: torch.device) -> Crops:
    (width, height), (columns, rows) = PERSON_SIZE, PARTS_SIZE
    return Crops(
        torch.empty(count, height, width, 3, dtype=torch.uint8, device=device),
        torch.empty(count, rows, columns, dtype=torch.uint8, device=device),
        torch.empty(count, 17, 2, device=device),
        torch.empty(count, 17, device=device),
        torch.empty(count, 4, device=device),
        torch.empty(count, dtype=torch.bool, device=device),
    )
