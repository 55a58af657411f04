"""What the scheduler may be told about patience, and the commands that it gives."""

from __future__ import annotations

from dataclasses import dataclass

from annotator.runtime.scheduling.blame import Care, Death


@dataclass(frozen=True, slots=True)
class Policy:
    """When the scheduler loses patience; times in seconds.

    Attributes:
        depth: leases a worker holds while there is plenty to do; the second starts decoding behind the first.
        hang_seconds: a worker with leases that shows no progress for so long is ended.
        start_seconds: a worker that has found a place and is not ready after so long is given up. Until it
            has found one it waits, for a node to join; on a Ray of our own none will, and its time begins at
            once.
        failed_starts: in a row, after which no worker is started for `backoff_seconds` (doubled each time, up
            to `longest_backoff`), or, when none lives, the run fails.
        fruitless: deaths in a row of workers on one shard that taught nothing, after which it is set aside.
        failures: exceptions in a row out of one shard, after which it is set aside.
        straggler_factor, straggler_seconds: a lease older than both (times the median lease, and absolute) is
            given to an idle worker as well.
        longest_step: what one step of the clock counts at most. Time in which nobody looked (the driver was
            stopped, the clock jumped) is nobody's lack of progress.
    """

    depth: int = 2
    hang_seconds: float = 900.0
    start_seconds: float = 1800.0
    failed_starts: int = 3
    backoff_seconds: float = 10.0
    longest_backoff: float = 300.0
    fruitless: int = 10
    failures: int = 3
    straggler_factor: float = 2.0
    straggler_seconds: float = 30.0
    longest_step: float = 10.0


@dataclass(frozen=True, slots=True)
class Start:
    """Start a worker under this number; numbers are not used twice."""

    worker: int


@dataclass(frozen=True, slots=True)
class Lease:
    """Give a shard to a worker. `lease` is unique in the run of this driver."""

    worker: int
    lease: int
    shard: int
    care: Care


@dataclass(frozen=True, slots=True)
class End:
    """End a worker. With a death, report it by `died` once what it was working on is known; without, it is
    forgotten: it was not needed."""

    worker: int
    death: Death | None = None


Command = Start | Lease | End
