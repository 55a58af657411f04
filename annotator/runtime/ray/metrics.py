"""Counters of a run for Prometheus, through Ray's own metrics: what a cluster's dashboard can draw."""

from __future__ import annotations

from collections.abc import Callable

from ray.util.metrics import Counter, Gauge

from annotator.runtime.job import News, Progress, Report
from annotator.store.work import ShardStats


def counted(report: Report, run: str, workers: Callable[[], int]) -> Report:
    """`report`, with everything that passes counted as well.

    Args:
        run: the run folder, a label of every figure.
        workers: how many are ready now.
    """
    labels = ("run",)
    images = Counter("annotator_images", "Images whose rows are committed.", labels)
    people = Counter("annotator_people", "People whose rows are committed.", labels)
    shards = Counter("annotator_shards", "Shards committed.", labels)
    errors = Counter("annotator_errors", "Error rows committed.", (*labels, "kind"))
    stages = Counter("annotator_worker_seconds", "Seconds that workers spent.", (*labels, "stage"))
    deaths = Counter("annotator_worker_deaths", "Workers that died.", (*labels, "cause"))
    ready = Gauge("annotator_workers", "Workers that are ready.", labels)
    here = {"run": run}

    def hear(news: News) -> None:
        report(news)
        if isinstance(news, Progress):
            if not news.committed:
                return
            _add(images, news.images, here)
            _add(people, news.people, here)
            _add(shards, 1, here)
            for kind, number in news.stats.get("error_kinds", {}).items():
                _add(errors, number, here | {"kind": kind})
            for stage, seconds in ShardStats.of(news.stats).stages.items():
                _add(stages, seconds, here | {"stage": stage})
        elif news.event == "died":
            _add(deaths, 1, here | {"cause": news.detail.partition(":")[0]})
        ready.set(workers(), here)

    return hear


def _add(counter: Counter, value: float, labels: dict[str, str]) -> None:
    # Ray refuses to add nothing.
    if value > 0:
        counter.inc(value, labels)
