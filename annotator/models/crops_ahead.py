"""Crops of people for the pose network, one batch ahead of it, and where the time goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from annotator.models.passes import Passes
from annotator.pose.crops import crop_batch_cv2


@dataclass
class Spent:
    """Seconds: waiting for crops, in the network, and decoding its outputs."""

    crop: float = 0.0
    network: float = 0.0
    decode: float = 0.0


class CropsAhead:
    """Crops of a list of people, the next pass's made in a thread while the network has those before."""

    def __init__(
        self,
        images: Sequence[np.ndarray],
        image_index: np.ndarray,
        matrices: np.ndarray,
        size: tuple[int, int],
        passes: Passes,
        spent: Spent,
    ) -> None:
        self._images, self._index, self._matrices, self._size = images, image_index, matrices, size
        self._passes, self._spent = passes, spent
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="crop")
        self._next: tuple[slice, Future[np.ndarray]] | None = None

    def __enter__(self) -> CropsAhead:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def take(self, part: slice) -> np.ndarray:
        """Crops (n, H, W, 3) uint8 of the people of one pass; those of the pass behind it are begun."""
        began = time.perf_counter()
        if self._next is not None and self._next[0] == part:
            crops = self._next[1].result()
        else:
            crops = self._crop(part)
        self._spent.crop += time.perf_counter() - began
        if part.stop < len(self._matrices):
            after = self._passes.part(part.stop, len(self._matrices))
            self._next = (after, self._pool.submit(self._crop, after))
        return crops

    def _crop(self, part: slice) -> np.ndarray:
        return crop_batch_cv2(self._images, self._index[part], self._matrices[part], self._size)
