"""How close a run came to the speed of its networks alone, what held it back, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from annotator.models.engines.speed_of_light import SpeedOfLight, flop_of, seconds_a_person, seconds_an_image
from annotator.models.estimator import Estimator
from annotator.runtime.job import Job
from annotator.runtime.line import StageClock
from annotator.store.work import ShardStats, Work

# Seconds that a worker spends on measuring each of its networks when it starts, roughly.
BUDGET = 0.5


def measure(job: Job, detector: Any, pose: Estimator) -> SpeedOfLight:
    """The networks of a worker on tensors in memory; nothing where none of them poses everybody alone."""
    if not pose.alone:
        return SpeedOfLight()
    config = job.config
    person = sum(seconds_a_person(model, config.batch_people, BUDGET) for model in pose.alone)
    sources = [source for source in (job.pose, job.second) if source is not None]
    costs = [
        flop_of(source, 2 if model.flip else 1) for source, model in zip(sources, pose.alone, strict=True)
    ]
    flop = None if None in costs else sum(cost or 0.0 for cost in costs)
    if job.detector is None:
        return SpeedOfLight(person, None, flop, None)
    image = seconds_an_image(detector, config.batch_images, BUDGET)
    return SpeedOfLight(person, image, flop, flop_of(job.detector))


def shard_figures(light: SpeedOfLight, clock: StageClock) -> dict[str, float]:
    """What a commit record keeps: seconds the networks alone would have needed, and what they calculated."""
    figures = {}
    if light.seconds_a_person is not None:
        figures["alone_pose"] = clock.posed * light.seconds_a_person
        figures["alone_detect"] = clock.detected * (light.seconds_an_image or 0.0)
    flop = light.flop(clock.posed, clock.detected)
    if flop is not None:
        figures["flop"] = flop
    return figures


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Figures of a run, or of a start of it.

    Attributes:
        people: posed, kept or not.
        images: done.
        work: what the shards took.
        alone_seconds: that their networks alone would have needed; None: not measured.
        busy: share of the workers' time in which a network was at work.
        flop_per_second: of one worker while it works, two a multiply-accumulate; None where not known.
        lost: seconds beyond `alone_seconds` by stage: decode, detect, crop, model, keypoints, signals, write,
            other.
    """

    people: int
    images: int
    work: Work
    alone_seconds: float | None
    busy: float
    flop_per_second: float | None
    lost: dict[str, float]

    @property
    def share(self) -> float | None:
        """People a second over people a second of the networks alone; above 1 these were timed too slow."""
        return None if self.alone_seconds is None else self.alone_seconds / self.work.seconds

    @property
    def held_back(self) -> str:
        """The stage that cost most beyond the networks themselves."""
        return max(self.lost, key=self.lost.__getitem__)

    def cost_per_1000_people(self, price_per_hour: float) -> float | None:
        """In the currency of the price of one worker's hour; None without people."""
        return None if not self.people else self.work.cost(price_per_hour) / self.people * 1000

    def cost_of(self, images: int, price_per_hour: float) -> float:
        """The same for so many images like these."""
        return self.work.cost(price_per_hour) / max(1, self.images) * images

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        rate = self.people / self.work.seconds
        return {
            "efficiency": self.share,
            "held_back_by": self.held_back,
            "lost_seconds": self.lost,
            "device_busy": self.busy,
            "model_flop_per_second": self.flop_per_second,
            "people_per_second": rate,
            "people_per_second_networks_alone": None if self.share is None else rate / self.share,
            "images_per_second": self.images / self.work.seconds,
            "worker_seconds": self.work.seconds,
        }


def efficiency_of(stats: Iterable[Mapping[str, Any]]) -> Efficiency | None:
    """Add up the figures of shards; None where none has any."""
    shards = [one for one in map(ShardStats.of, stats) if one.seconds > 0]
    work = Work.of(shards)
    if work.seconds <= 0:
        return None

    def total(name: str) -> float:
        return sum(getattr(one, name) or 0.0 for one in shards)

    measured = all(one.alone_pose is not None for one in shards)
    counted = all(one.flop is not None for one in shards)
    network = total("network") or work.stages["pose"]
    lost = {
        "decode": work.stages["wait"],
        "detect": work.stages["detect"] - total("alone_detect"),
        "crop": total("crop"),
        "model": network - total("alone_pose"),
        "keypoints": total("keypoints"),
        "signals": work.stages["signals"],
        "write": work.stages["write"],
        "other": work.stages["other"],
    }
    return Efficiency(
        people=int(total("posed")),
        images=int(total("images")),
        work=work,
        alone_seconds=total("alone_pose") + total("alone_detect") if measured else None,
        busy=min(1.0, (network + work.stages["detect"]) / work.seconds),
        flop_per_second=total("flop") / work.seconds if counted else None,
        lost={name: max(0.0, value) for name, value in lost.items()},
    )


# Nothing is faster than its networks; a little more is the noise of timing them.
_POSSIBLE = 1.05


def describe(efficiency: Efficiency) -> str:
    """One line for a person."""
    parts = []
    if efficiency.share is not None:
        alone = efficiency.people / efficiency.alone_seconds if efficiency.alone_seconds else 0.0
        parts.append(
            f"Efficiency {efficiency.share:.2f} of the networks alone ({alone:.1f} people/s a worker)"
        )
        if efficiency.share > _POSSIBLE:
            parts[0] += ": no true figure, as they were timed in small passes or while the machine was busy"
    name = efficiency.held_back
    share = efficiency.lost[name] / efficiency.work.seconds
    parts.append(f"held back most by {name} ({share:.0%} of the time)")
    parts.append(f"device busy {efficiency.busy:.0%}")
    if efficiency.flop_per_second is not None:
        parts.append(f"{efficiency.flop_per_second / 1e9:,.0f} GFLOP/s")
    return ", ".join(parts) + "."
