"""What a run tells Prometheus."""

from __future__ import annotations

from collections import Counter

import pytest

from annotator.runtime.job import Progress
from annotator.runtime.ray import metrics


class Figure(Counter):
    """Stands for a counter or gauge of Ray: what was counted, by the last of its labels."""

    made: dict[str, Figure]

    def __init__(self, name: str, *_: object) -> None:
        super().__init__()
        self.made[name] = self

    def inc(self, value: float, labels: dict[str, str]) -> None:
        self[list(labels.values())[-1]] += value

    set = inc


def test_all_the_time_of_a_shard_is_counted_by_stage(monkeypatch) -> None:
    made = Figure.made = {}
    monkeypatch.setattr(metrics, "Counter", Figure)
    monkeypatch.setattr(metrics, "Gauge", Figure)
    hear = metrics.counted(lambda news: None, "run", lambda: 2)
    stats = {"seconds": 5.0, "wait": 1.0, "pose": 2.5, "signals": 0.5, "write": 0.25}
    hear(Progress(0, 10, 20, 0, committed=True, stats=stats))
    hear(Progress(1, 3, 0, 0))
    told = made["annotator_worker_seconds"]
    assert told == {"wait": 1.0, "pose": 2.5, "signals": 0.5, "write": 0.25, "other": 1.0}
    assert sum(told.values()) == pytest.approx(5.25)
    assert made["annotator_images"] == {"run": 10} and made["annotator_shards"] == {"run": 1}
