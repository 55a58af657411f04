"""Who carries out many jobs: this process (Python's `map`), several processes, or whatever else is given."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from annotator.errors import RunFailed


class Spread(Protocol):
    """Carries out a function on each job; results come in the order of the jobs, as `map` gives them."""

    def __call__(self, function: Callable[[Any], Any], jobs: list, /) -> Iterator[Any]: ...


def over_processes(workers: int | None = None) -> Spread:
    """Spread jobs over processes of this machine, two jobs a process under way.

    Args:
        workers: how many; None: one a CPU core that this process may use.

    The function that is returned raises:
        RunFailed: a process died.
    """

    def spread(function: Callable[[Any], Any], jobs: list, /) -> Iterator[Any]:
        count = min(workers or len(os.sched_getaffinity(0)), len(jobs))
        if count <= 1:
            yield from map(function, jobs)
            return
        # Not multiprocessing.Pool, which waits for ever for the job of a process that was killed.
        from concurrent.futures import Future, ProcessPoolExecutor
        from concurrent.futures.process import BrokenProcessPool
        from multiprocessing import get_context

        with _one_thread_each(), ProcessPoolExecutor(count, get_context("spawn"), _end_with_parent) as pool:
            pending: deque[Future[Any]] = deque()
            try:
                for job in jobs:
                    pending.append(pool.submit(function, job))
                    if len(pending) >= 2 * count:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            except BrokenProcessPool as error:
                raise RunFailed(
                    f"one of {count} processes was killed, most likely for want of memory: "
                    "start again with fewer (--workers) or with more memory"
                ) from error
            finally:
                for future in pending:
                    future.cancel()

    return spread


def single_threaded() -> None:
    """One process a core is faster than many threads on small pictures."""
    import cv2

    cv2.setNumThreads(1)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for jobs for ever; Ctrl-C is the parent's to tell of."""
    import signal
    import threading
    from multiprocessing import parent_process

    def watch() -> None:
        if parent := parent_process():
            parent.join()
            os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=watch, daemon=True).start()


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
