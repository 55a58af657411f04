"""Shards that are not done: which wait, who holds which, how often they failed, which were given up."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from annotator.runtime.scheduling.blame import Ledger


@dataclass(slots=True)
class Held:
    """A lease as long as it is held.

    Attributes:
        lease, shard, worker: numbers.
        since: seconds of the scheduler's clock.
        alone: a shard with suspects, which must have the process to itself.
    """

    lease: int
    shard: int
    worker: int
    since: float
    alone: bool


class Backlog:
    """The shards of a run until each is finished or given up.

    Attributes:
        unfinished: shards under way or waiting.
        set_aside: why, by shard, for those that were given up.
    """

    def __init__(self, shards: Iterable[int], ledger: Ledger) -> None:
        listed = list(shards)
        self.unfinished = set(listed)
        if len(self.unfinished) != len(listed):
            raise ValueError("a shard is listed twice")
        self.set_aside: dict[int, str] = {}
        self._ledger = ledger
        self._delicate = deque(shard for shard in listed if ledger.suspects(shard))
        self._waiting = deque(shard for shard in listed if not ledger.suspects(shard))
        self._holders: dict[int, list[Held]] = {}
        self._fruitless: dict[int, int] = {}
        self._failures: dict[int, int] = {}

    @property
    def delicate(self) -> int:
        """Shards with suspects that wait for a worker of their own."""
        return len(self._delicate)

    @property
    def waiting(self) -> int:
        """All other shards that wait."""
        return len(self._waiting)

    def next(self) -> int | None:
        """Take the shard that is to be started next, delicate ones first; None when none waits."""
        queue = self._delicate or self._waiting
        return queue.popleft() if queue else None

    def hold(self, held: Held) -> None:
        """A worker has it now, perhaps beside another one."""
        self._holders.setdefault(held.shard, []).append(held)

    def let_go(self, held: Held) -> None:
        """That worker has it no more."""
        holders = self._holders.get(held.shard, [])
        if held in holders:
            holders.remove(held)
        if not holders:
            self._holders.pop(held.shard, None)

    def requeue(self, shard: int) -> None:
        """Back to the front of the queue, unless it is done, or another worker has it too."""
        if shard in self.unfinished and shard not in self._holders:
            (self._delicate if self._ledger.suspects(shard) else self._waiting).appendleft(shard)

    def finish(self, shard: int) -> None:
        """It is committed."""
        self._drop(shard)
        self._fruitless.pop(shard, None)
        self._failures.pop(shard, None)
        self._ledger.close(shard)

    def give_up(self, shard: int, reason: str) -> None:
        """Go on without a shard that nothing can carry out; the others shall not wait for it."""
        self.set_aside[shard] = reason
        self._drop(shard)

    def _drop(self, shard: int) -> None:
        self.unfinished.discard(shard)
        self._holders.pop(shard, None)

    def failed(self, shard: int) -> int:
        """Count an exception out of a shard; returns how many there were."""
        self._failures[shard] = self._failures.get(shard, 0) + 1
        return self._failures[shard]

    def taught_nothing(self, shard: int) -> int:
        """Count a death on a shard that no item is blamed for; returns how many there were in a row."""
        self._fruitless[shard] = self._fruitless.get(shard, 0) + 1
        return self._fruitless[shard]

    def taught(self, shard: int) -> None:
        """A death on a shard has somebody to blame."""
        self._fruitless.pop(shard, None)

    def stragglers(self, late: float) -> list[int]:
        """Shards held by one worker since `late` or longer, oldest first; not delicate and deadly ones."""
        slow = [
            held
            for held, *others in self._holders.values()
            if not others and held.since <= late and not held.alone and not self._fruitless.get(held.shard)
        ]
        return [held.shard for held in sorted(slow, key=lambda held: held.since)]
