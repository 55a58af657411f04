"""Crops of people for the pose network, one batch ahead of it, and where the time goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from annotator.pose.crops import crop_batch_cv2


@dataclass
class Spent:
    """Seconds: waiting for crops, in the network, and decoding its outputs."""

    crop: float = 0.0
    network: float = 0.0
    decode: float = 0.0


class CropsAhead:
    """Crops of a list of people, the next batch made in a thread while the network has the one before."""

    def __init__(
        self,
        images: Sequence[np.ndarray],
        image_index: np.ndarray,
        matrices: np.ndarray,
        size: tuple[int, int],
        spent: Spent,
    ) -> None:
        self._images, self._index, self._matrices, self._size = images, image_index, matrices, size
        self._spent = spent
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="crop")
        self._next: tuple[int, int, Future[np.ndarray]] | None = None

    def __enter__(self) -> CropsAhead:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def take(self, start: int, count: int) -> np.ndarray:
        """Crops (n, H, W, 3) uint8 of people from `start` on, at most `count`; those behind are begun."""
        began = time.perf_counter()
        if self._next is not None and self._next[:2] == (start, count):
            crops = self._next[2].result()
        else:
            crops = self._crop(start, count)
        self._spent.crop += time.perf_counter() - began
        after = start + len(crops)
        if after < len(self._matrices):
            self._next = (after, count, self._pool.submit(self._crop, after, count))
        return crops

    def _crop(self, start: int, count: int) -> np.ndarray:
        part = slice(start, start + count)
        return crop_batch_cv2(self._images, self._index[part], self._matrices[part], self._size)
