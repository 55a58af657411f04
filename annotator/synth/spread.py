"""Who carries out many jobs: this process (Python's `map`), several processes, or whatever else is given."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Spread(Protocol):
    """Carries out a function on each job; results come in the order of the jobs, as `map` gives them."""

    def __call__(self, function: Callable[[Any], Any], jobs: list, /) -> Iterator[Any]: ...


def over_processes(workers: int | None = None) -> Spread:
    """Spread jobs over processes of this machine.

    Args:
        workers: how many; None: one a CPU core.
    """

    def spread(function: Callable[[Any], Any], jobs: list, /) -> Iterator[Any]:
        count = min(workers or os.cpu_count() or 1, len(jobs))
        if count <= 1:
            yield from map(function, jobs)
            return
        import multiprocessing

        with _one_thread_each(), multiprocessing.get_context("spawn").Pool(count) as pool:
            yield from pool.imap(function, jobs)

    return spread


def single_threaded() -> None:
    """One process a core is faster than many threads on small pictures."""
    import cv2

    cv2.setNumThreads(1)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Children read these when they import numpy; the parent keeps what it had."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
