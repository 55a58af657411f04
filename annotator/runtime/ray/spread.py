"""Jobs that need no lease, as Ray tasks: nothing is lost when one is carried out twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from annotator.runtime.ray.session import ray_session


@contextmanager
def over_ray(address: str | None) -> Iterator[Callable[[Callable[[Any], Any], list], Iterator[Any]]]:
    """Spread jobs over a Ray cluster, each on one CPU, while the context lasts.

    Args:
        address: of the cluster; None starts Ray on this machine.

    Yields:
        A function of (function, jobs) that gives results in the order of the jobs, two a CPU under way.

    Raises:
        RunFailed: Ray cannot be started or reached.
    """
    with ray_session(address) as ray:

        def spread(function: Callable[[Any], Any], jobs: list) -> Iterator[Any]:
            task = ray.remote(num_cpus=1)(function)
            ahead = max(4, 2 * int(ray.cluster_resources().get("CPU", 2)))
            pending = []
            for job in jobs:
                pending.append(task.remote(job))
                if len(pending) >= ahead:
                    yield ray.get(pending.pop(0))
            while pending:
                yield ray.get(pending.pop(0))

        yield spread
