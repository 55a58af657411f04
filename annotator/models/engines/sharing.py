"""Two ways for the threads of a CPU to share a batch, of which the faster one is found out on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from annotator.models.engines.outputs import joined

# Passes from which the ways are judged, by turns; the first of each also prepares what later ones use.
_TRIALS = 4


class Sharing:
    """A network whose batches are shared by threads: all on each layer, or each on its part of the pictures.

    The first needs all threads to wait for each other after every layer, the second has weights pass through
    every core. Passes with two pictures a thread or more are carried out by turns until both ways have been
    timed twice. Results differ by rounding at most.

    Args:
        network: takes (N, ...) and returns tensors, nested in lists or tuples as it likes.
        threads: that torch uses for one layer now.

    Attributes:
        network: as given.
        parts: into how many a batch is divided; None until that is known.
    """

    def __init__(self, network: Callable[[Tensor], Any], threads: int) -> None:
        self.network, self._threads = network, threads
        self.parts: int | None = None if threads > 1 else 1
        self._seconds: dict[int, list[float]] = {1: [], threads: []}
        self._pool: ThreadPoolExecutor | None = None

    def __call__(self, pixels: Tensor) -> Any:
        """The network's outputs for all pictures."""
        if self.parts is not None or len(pixels) < 2 * self._threads:
            return self._shared(pixels, self.parts or 1)
        tried = sum(map(len, self._seconds.values()))
        parts = (1, self._threads)[tried % 2]
        started = time.perf_counter()
        outputs = self._shared(pixels, parts)
        self._seconds[parts].append((time.perf_counter() - started) / len(pixels))
        if tried + 1 == _TRIALS:
            self.parts = min(self._seconds, key=lambda way: min(self._seconds[way]))
        return outputs

    def _shared(self, pixels: Tensor, parts: int) -> Any:
        if parts == 1 or len(pixels) < parts:
            return self.network(pixels)
        if self._pool is None:
            self._pool = _single_threads(self._threads)
        return joined(list(self._pool.map(self._alone, pixels.chunk(parts))))

    @torch.inference_mode()
    def _alone(self, pixels: Tensor) -> Any:
        return self.network(pixels)


def _single_threads(count: int) -> ThreadPoolExecutor:
    """A pool whose threads carry out operations alone; the process's other threads go on as before."""
    pool = ThreadPoolExecutor(count, thread_name_prefix="network")
    before, all_there = torch.get_num_threads(), threading.Barrier(count)

    def prepare(_: int) -> None:
        # A thread takes over the process's number when it is first asked for it, and would forget its own.
        torch.get_num_threads()
        torch.set_num_threads(1)
        all_there.wait()

    list(pool.map(prepare, range(count)))
    # Threads to come take the number that was set last.
    torch.set_num_threads(before)
    return pool
