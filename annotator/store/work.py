"""What shards took: workers' seconds by stage and their price, from the figures in commit records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStats:
    """The figures of a commit record: 0, or None, where the worker measured nothing.

    Attributes:
        seconds: on the shard while it had the models. write: then, until its rows were committed.
        wait, detect, pose, signals: parts of `seconds`: for decoded pictures, to find people, to place their
            joints, to judge them.
        crop, network, keypoints: parts of `pose`.
        alone_pose, alone_detect: seconds that the networks alone would have needed.
        flop: floating-point operations of the networks, two a multiply-accumulate.
        images: done. posed: people who came out of the pose model, kept or not.
        host, pid: of the worker.
    """

    seconds: float = 0.0
    wait: float = 0.0
    detect: float = 0.0
    pose: float = 0.0
    signals: float = 0.0
    write: float = 0.0
    crop: float = 0.0
    network: float = 0.0
    keypoints: float = 0.0
    alone_pose: float | None = None
    alone_detect: float | None = None
    flop: float | None = None
    images: int = 0
    posed: int = 0
    host: str | None = None
    pid: int | None = None

    @classmethod
    def of(cls, stats: Mapping[str, Any]) -> ShardStats:
        """From `CommitRecord.stats`; figures that are not of these are passed over."""
        known = {field.name: stats[field.name] for field in fields(cls) if field.name in stats}
        # Records of older versions do not tell posed people from those kept.
        return cls(**{"posed": stats.get("people", 0)} | known)

    @property
    def stages(self) -> dict[str, float]:
        """Seconds by stage: all of `seconds` and `write`."""
        parts = {"wait": self.wait, "detect": self.detect, "pose": self.pose, "signals": self.signals}
        return parts | {"write": self.write, "other": max(0.0, self.seconds - sum(parts.values()))}


@dataclass(frozen=True, slots=True)
class Work:
    """What some shards took together.

    Attributes:
        stages: worker seconds by stage: wait, detect, pose, signals, write, other.
        seconds: worker seconds in all; a worker that writes a shard beside the next one counts for both.
        workers, hosts: processes and machines that took part.
    """

    stages: dict[str, float]
    seconds: float
    workers: int
    hosts: int

    @classmethod
    def of(cls, shards: Iterable[ShardStats]) -> Work:
        """Add up."""
        stages, seconds = ShardStats().stages, 0.0
        workers: set[tuple[str, int | None]] = set()
        for shard in shards:
            seconds += shard.seconds + shard.write
            for stage, spent in shard.stages.items():
                stages[stage] += spent
            if shard.host is not None:
                workers.add((shard.host, shard.pid))
        return cls(stages, seconds, len(workers), len({host for host, _ in workers}))

    @property
    def slowest(self) -> str:
        """The stage that took most of the time."""
        return max(self.stages, key=self.stages.__getitem__)

    def cost(self, price_per_hour: float) -> float:
        """In the currency of the price of one worker's hour."""
        return self.seconds / 3600 * price_per_hour
