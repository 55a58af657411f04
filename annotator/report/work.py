"""What a run took: workers' time by stage, speed, and what it cost, from the commit records."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from annotator.store.reader import Run

# Seconds in which the worker that commits did this; they add up to its time with "other".
STAGES = {
    "wait": "waiting for decoded pictures",
    "detect": "finding people",
    "pose": "placing joints",
    "signals": "quality signals",
    "other": "everything else",
}


@dataclass(frozen=True, slots=True)
class Work:
    """What the committed shards took.

    Attributes:
        stages: seconds of all workers by `STAGES`. seconds: of all workers together.
        images, people: rows that came of it.
        hosts, workers: machines and processes that took part.
        cost: price of the workers' time, None where nobody said what an hour costs.
    """

    stages: dict[str, float]
    seconds: float
    images: int
    people: int
    hosts: int
    workers: int
    cost: float | None

    @property
    def slowest(self) -> str:
        """The stage that took most of the time."""
        return max(self.stages, key=lambda stage: self.stages[stage])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return {
            "worker_seconds": self.stages,
            "workers": self.workers,
            "machines": self.hosts,
            "images_per_worker_second": self.images / self.seconds if self.seconds else None,
            "people_per_worker_second": self.people / self.seconds if self.seconds else None,
            "cost": self.cost,
        }


def collect_work(run: Run, price_per_hour: float | None = None) -> Work:
    """Add up the commit records.

    Args:
        price_per_hour: what an hour of one worker costs, in any currency.
    """
    stages: defaultdict[str, float] = defaultdict(float)
    hosts, workers = set(), set()
    images = people = 0
    for record in run.committed().values():
        stats = record.stats
        known = 0.0
        for stage in STAGES:
            if stage != "other":
                stages[stage] += float(stats.get(stage, 0.0))
                known += float(stats.get(stage, 0.0))
        stages["other"] += max(0.0, float(stats.get("seconds", 0.0)) - known)
        images += sum(record.counts.values())
        people += record.people
        if "host" in stats:
            hosts.add(stats["host"])
            workers.add((stats["host"], stats.get("pid")))
    seconds = sum(stages.values())
    cost = None if price_per_hour is None else seconds / 3600 * price_per_hour
    return Work(dict(stages), seconds, images, people, len(hosts), len(workers), cost)
