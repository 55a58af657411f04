"""Rounds in which both sides take turns, and what they come to: medians and spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from annotator.bench.agreement import Agreement
from annotator.bench.photos import Photo
from annotator.bench.sides import People, Side


@dataclass(frozen=True)
class Timing:
    """Seconds of each round of one side, for so many photos and people."""

    name: str
    seconds: tuple[float, ...]
    photos: int
    people: int

    @property
    def rate(self) -> float:
        """People a second, of the median round."""
        return self.people / statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """(slowest - fastest) / median round."""
        return (max(self.seconds) - min(self.seconds)) / statistics.median(self.seconds)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self) | {
            "median_seconds": statistics.median(self.seconds),
            "people_per_second": self.rate,
            "photos_per_second": self.photos / statistics.median(self.seconds),
            "spread": self.spread,
        }


@dataclass(frozen=True)
class Result:
    """A benchmark.

    Attributes:
        model: what was run, for a person.
        theirs, ours: timings.
        agreement: of what was timed.
        exact: of our line with torch in fp32, on some of the people, before anything was timed.
        limit: people a second of the networks alone, on tensors in memory.
        stages: seconds of our median round by stage.
        machine: threads, processor and device.
        settings: engine, precision and what else was chosen.
    """

    model: str
    theirs: Timing
    ours: Timing
    agreement: Agreement
    exact: Agreement | None
    limit: float | None
    stages: dict[str, float]
    machine: dict[str, Any]
    settings: dict[str, Any]

    @property
    def ratios(self) -> list[float]:
        """How many times faster we were, round by round, for equally many photos."""
        times = self.ours.photos / self.theirs.photos
        return [times * a / b for a, b in zip(self.theirs.seconds, self.ours.seconds, strict=True)]

    @property
    def speedup(self) -> float:
        """The median of `ratios`."""
        return statistics.median(self.ratios)

    @property
    def efficiency(self) -> float | None:
        """People a second from files over people a second of the networks alone."""
        return None if self.limit is None else self.ours.rate / self.limit

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return {
            "model": self.model,
            "speedup": self.speedup,
            "speedup_by_round": self.ratios,
            "efficiency": self.efficiency,
            "limit_people_per_second": self.limit,
            "theirs": self.theirs.to_dict(),
            "ours": self.ours.to_dict(),
            "agreement": asdict(self.agreement),
            "exact": None if self.exact is None else asdict(self.exact),
            "stages": self.stages,
            "settings": self.settings,
            "machine": self.machine,
        }


def compete(
    theirs: Side,
    ours: Side,
    photos: Sequence[Photo],
    rounds: int,
    report: Callable[[str], None],
    after: Callable[[], None] = lambda: None,
    repeat: int = 1,
) -> tuple[Timing, Timing, list[People], list[People]]:
    """Let both sides take turns.

    Args:
        report: hears of each round.
        after: called after each round of ours.
        repeat: how often ours looks at the photos in one round.

    Returns:
        Timings of theirs and ours, and what each found in the photos.
    """
    given = (photos, [*photos] * repeat)
    # Lazy loading, memory, thread pools, plans and compilation for sizes of batches: none of it counts.
    theirs(photos[: max(1, len(photos) // 8)])
    ours(given[1])
    seconds: tuple[list[float], list[float]] = ([], [])
    found: list[list[People]] = [[], []]
    for number in range(rounds):
        for place, side in enumerate((theirs, ours)):
            started = time.perf_counter()
            found[place] = side(given[place])
            seconds[place].append(time.perf_counter() - started)
            report(f"round {number + 1} of {rounds}: {side.name} {seconds[place][-1]:.2f} s")
        after()
    timings = [
        Timing(
            side.name, tuple(seconds[place]), len(given[place]), sum(len(one.boxes) for one in found[place])
        )
        for place, side in enumerate((theirs, ours))
    ]
    return timings[0], timings[1], found[0], found[1][: len(photos)]
