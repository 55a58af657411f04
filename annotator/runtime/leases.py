"""Who works on which shard: leases, replacements, stragglers and deadlines.

No Ray, no threads, no clock of its own. An executor tells the scheduler what happened (`ready`, `progressed`,
`done`, `failed`, `died`), asks it what to do (`decide`), and does that. Every call takes the time, in seconds
of any monotonic clock.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count
from statistics import median

from annotator.errors import RunFailed
from annotator.runtime.blame import Cause, Death, Ledger
from annotator.runtime.policy import Command, End, Lease, Policy, Start


class _State(Enum):
    STARTING = auto()
    READY = auto()
    DOOMED = auto()  # its End was given out, its death not yet reported


@dataclass(slots=True)
class _Held:
    """A lease as long as it is held."""

    lease: int
    shard: int
    worker: int
    since: float
    alone: bool  # a shard with suspects, which must have the process to itself


@dataclass(slots=True)
class _Worker:
    number: int
    deadline: float
    state: _State = _State.STARTING
    armed: bool = False  # the heap has an entry for its hang deadline
    mark: Hashable = None
    held: list[_Held] = field(default_factory=list)


class Scheduler:
    """Leases shards to workers until each is done once, or set aside because nothing can carry it out.

    All calls cost O(log workers), except for choosing a straggler at the very end.

    Args:
        shards: to carry out, in the order in which they are to be started.
        policy: see `Policy`.
        ledger: what is known of bad items.

    Attributes:
        set_aside: why, by shard, for those that were given up.
    """

    def __init__(
        self, shards: Iterable[int], policy: Policy | None = None, ledger: Ledger | None = None
    ) -> None:
        self.policy = policy or Policy()
        self.ledger = ledger or Ledger()
        self.set_aside: dict[int, str] = {}
        listed = list(shards)
        self._unfinished = set(listed)
        if len(self._unfinished) != len(listed):
            raise ValueError("a shard is listed twice")
        self._delicate = deque(shard for shard in listed if self.ledger.suspects(shard))
        self._waiting = deque(shard for shard in listed if not self.ledger.suspects(shard))
        self._workers: dict[int, _Worker] = {}
        # Ready workers without a lease, and those that can take another one; as ordered sets.
        self._idle: dict[int, _Worker] = {}
        self._spare: dict[int, _Worker] = {}
        self._holders: dict[int, list[_Held]] = {}
        self._deadlines: list[tuple[float, int, bool]] = []  # (time, worker, of its start)
        self._ends: list[End] = []
        self._fruitless: dict[int, int] = {}
        self._failures: dict[int, int] = {}
        self._durations: deque[float] = deque(maxlen=64)
        self._capacity = 0
        self._starting = 0
        self._failed_starts = 0
        self._pauses = 0
        self._not_before = 0.0
        self._next_look = 0.0
        self._worker_numbers = count()
        self._lease_numbers = count()
        self._seen: float | None = None
        self._time = 0.0

    # What happened

    def set_capacity(self, workers: int) -> None:
        """How many workers there is room for now; nodes join and leave."""
        self._capacity = workers

    def ready(self, worker: int, now: float) -> None:
        """A started worker can take leases."""
        self._advance(now)
        entry = self._workers.get(worker)
        if entry is None or entry.state is not _State.STARTING:
            return
        entry.state = _State.READY
        self._starting -= 1
        self._failed_starts = self._pauses = 0
        self._not_before = 0.0
        self._sort_in(entry)

    def progressed(self, worker: int, mark: Hashable, now: float) -> None:
        """A worker answered; it has made progress if `mark` differs from what it showed last."""
        self._advance(now)
        entry = self._workers.get(worker)
        if entry is not None and mark != entry.mark:
            entry.mark = mark
            self._extend(entry)

    def done(self, worker: int, lease: int, now: float) -> bool:
        """A lease ended with its shard committed, by this worker or another.

        Returns whether that was the first news of it.
        """
        self._advance(now)
        held = self._release(worker, lease)
        if held is None or held.shard not in self._unfinished:
            return False
        self._durations.append(self._time - held.since)
        self._finish(held.shard)
        return True

    def failed(self, worker: int, lease: int, reason: str, now: float) -> None:
        """A lease ended with an exception that is about no single item. The worker is replaced."""
        self._advance(now)
        held = self._release(worker, lease)
        if held is None:
            return
        if held.shard in self._unfinished:
            failures = self._failures[held.shard] = self._failures.get(held.shard, 0) + 1
            if failures >= self.policy.failures:
                self._give_up(held.shard, f"it failed {failures} times, at last with {reason}")
            else:
                self._requeue(held.shard)
        entry = self._remove(worker)
        for other in entry.held:
            self._forget(other)
            self._requeue(other.shard)
        self._ends.append(End(worker))

    def died(self, worker: int, death: Death, in_flight: Mapping[int, Sequence[int]], now: float) -> None:
        """A worker is gone. What it held goes to others; only what it was working on is to blame.

        Args:
            in_flight: indices of the items that it was working on, by shard; from its intent records.

        Raises:
            RunFailed: it did not come up, neither did those before it, and no other lives.
        """
        self._advance(now)
        if worker not in self._workers:
            return
        entry = self._remove(worker)
        if entry.state is _State.STARTING:
            self._start_failed(death)
            return
        alone = sum(len(items) for items in in_flight.values()) == 1
        suspected = {shard: items for shard, items in in_flight.items() if shard in self._unfinished}
        learned = self.ledger.blame(death, suspected, alone)
        for place, held in enumerate(entry.held):
            self._forget(held)
            if held.shard not in self._unfinished:
                continue
            if held.shard in learned:
                self._fruitless.pop(held.shard, None)
            elif place == 0 and death.cause.blames:
                # Only the first lease was under way; a second one merely decodes ahead.
                deaths = self._fruitless[held.shard] = self._fruitless.get(held.shard, 0) + 1
                if deaths >= self.policy.fruitless:
                    self._give_up(
                        held.shard,
                        f"{deaths} workers in a row died on it and no input is to blame; the last one: "
                        f"{death.detail or death.cause.value}",
                    )
                    continue
            self._requeue(held.shard)

    # What to do

    def decide(self, now: float) -> list[Command]:
        """What to do now, in this order. Call it after every event, and every second or so without one."""
        self._advance(now)
        commands: list[Command] = [*self._ends, *self._overdue(), *self._surplus(), *self._starts()]
        self._ends.clear()
        while (lease := self._next_lease()) is not None:
            commands.append(lease)
        if self._idle and not self._waiting and not self._delicate:
            commands.extend(self._stragglers())
        return commands

    @property
    def finished(self) -> bool:
        """Every shard is done or set aside."""
        return not self._unfinished

    @property
    def unfinished(self) -> int:
        """Shards under way or waiting."""
        return len(self._unfinished)

    @property
    def alive(self) -> int:
        """Workers that came up and did not end."""
        return len(self._workers) - self._starting

    @property
    def starting(self) -> int:
        """Workers on their way."""
        return self._starting

    def holding(self, worker: int) -> dict[int, int]:
        """Shard by lease of what a worker holds, the one under way first."""
        entry = self._workers.get(worker)
        return {held.lease: held.shard for held in entry.held} if entry else {}

    # Workers

    def _overdue(self) -> list[End]:
        """Workers past their deadline, each ended once."""
        ends = []
        while self._deadlines and self._deadlines[0][0] <= self._time:
            _, number, of_start = heapq.heappop(self._deadlines)
            entry = self._workers.get(number)
            if entry is None or entry.state is not (_State.STARTING if of_start else _State.READY):
                continue
            if of_start:
                self._remove(number)
                ends.append(End(number))
                self._start_failed(Death(Cause.HUNG, f"not ready after {self.policy.start_seconds:.0f} s"))
                continue
            entry.armed = False
            if entry.held and entry.deadline <= self._time:
                entry.state = _State.DOOMED
                self._sort_in(entry)
                reason = f"no progress for {self.policy.hang_seconds:.0f} s"
                ends.append(End(number, Death(Cause.HUNG, reason)))
            elif entry.held:
                self._arm(entry)
        return ends

    def _surplus(self) -> list[End]:
        """Workers that are not needed: more than there is room for, or on their way to no shard."""
        excess = len(self._workers) - self._capacity
        waste = min(self._starting, len(self._workers) - len(self._unfinished))
        ends = []
        if excess <= 0 and waste <= 0:
            return ends
        for entry in reversed(list(self._workers.values())):
            starting = entry.state is _State.STARTING
            if starting and (excess > 0 or waste > 0):
                waste -= 1
            elif not (entry.state is _State.READY and not entry.held and excess > 0):
                continue
            excess -= 1
            self._remove(entry.number)
            ends.append(End(entry.number))
        return ends

    def _starts(self) -> list[Start]:
        if self._time < self._not_before:
            return []
        commands = []
        for _ in range(min(self._capacity, len(self._unfinished)) - len(self._workers)):
            entry = _Worker(next(self._worker_numbers), self._time + self.policy.start_seconds)
            self._workers[entry.number] = entry
            self._starting += 1
            heapq.heappush(self._deadlines, (entry.deadline, entry.number, True))
            commands.append(Start(entry.number))
        return commands

    def _start_failed(self, death: Death) -> None:
        self._failed_starts += death.cause is not Cause.NODE
        if self._failed_starts < self.policy.failed_starts:
            return
        if not self.alive:
            raise RunFailed(
                f"no worker lives, and the last {self._failed_starts} did not come up. The last one: "
                f"{death.detail or death.cause.value}"
            )
        pause = min(self.policy.backoff_seconds * 2**self._pauses, self.policy.longest_backoff)
        self._not_before = self._time + pause
        self._pauses += 1

    def _remove(self, worker: int) -> _Worker:
        entry = self._workers.pop(worker)
        self._starting -= entry.state is _State.STARTING
        self._idle.pop(worker, None)
        self._spare.pop(worker, None)
        return entry

    def _sort_in(self, entry: _Worker) -> None:
        """Put a worker among the idle, those with a lease to spare, or neither."""
        self._idle.pop(entry.number, None)
        self._spare.pop(entry.number, None)
        if entry.state is not _State.READY:
            return
        if not entry.held:
            self._idle[entry.number] = entry
        elif len(entry.held) < self.policy.depth and not entry.held[0].alone:
            self._spare[entry.number] = entry

    def _extend(self, entry: _Worker) -> None:
        """Let the hang deadline of a worker begin anew; its one entry in the heap may be an earlier one."""
        entry.deadline = self._time + self.policy.hang_seconds
        if not entry.armed and entry.held and entry.state is _State.READY:
            self._arm(entry)

    def _arm(self, entry: _Worker) -> None:
        entry.armed = True
        heapq.heappush(self._deadlines, (entry.deadline, entry.number, False))

    # Leases

    def _next_lease(self) -> Lease | None:
        if self._idle:
            queue = self._delicate or self._waiting
            if queue:
                return self._give(next(iter(self._idle.values())), queue.popleft())
        elif self._spare and not self._delicate and len(self._waiting) > len(self._workers):
            # Near the end, and while a shard waits for a worker of its own, one lease a worker.
            return self._give(next(iter(self._spare.values())), self._waiting.popleft())
        return None

    def _give(self, entry: _Worker, shard: int) -> Lease:
        held = _Held(
            next(self._lease_numbers), shard, entry.number, self._time, bool(self.ledger.suspects(shard))
        )
        entry.held.append(held)
        self._holders.setdefault(shard, []).append(held)
        self._sort_in(entry)
        if len(entry.held) == 1:
            self._extend(entry)
        return Lease(entry.number, held.lease, shard, self.ledger.care(shard))

    def _stragglers(self) -> list[Lease]:
        """Second leases on shards that take suspiciously long, for workers with nothing else to do."""
        if self._time < self._next_look:
            return []
        self._next_look = self._time + 1
        typical = median(self._durations) if self._durations else float("inf")
        late = self._time - max(self.policy.straggler_seconds, self.policy.straggler_factor * typical)
        slow = sorted(
            (
                held
                for held, *others in self._holders.values()
                if not others and held.since <= late and not held.alone
            ),
            key=lambda held: held.since,
        )
        return [
            self._give(worker, held.shard)
            for worker, held in zip(list(self._idle.values()), slow, strict=False)
            if not self._fruitless.get(held.shard)
        ]

    def _release(self, worker: int, lease: int) -> _Held | None:
        """Take a lease from a living worker; None when it holds no such lease (any more)."""
        entry = self._workers.get(worker)
        held = next((held for held in entry.held if held.lease == lease), None) if entry else None
        if entry is None or held is None:
            return None
        entry.held.remove(held)
        self._forget(held)
        self._sort_in(entry)
        self._extend(entry)
        return held

    def _forget(self, held: _Held) -> None:
        holders = self._holders.get(held.shard, [])
        if held in holders:
            holders.remove(held)
        if not holders:
            self._holders.pop(held.shard, None)

    def _requeue(self, shard: int) -> None:
        """Back to the front of the queue, unless it is done, or another worker has it too."""
        if shard in self._unfinished and shard not in self._holders:
            (self._delicate if self.ledger.suspects(shard) else self._waiting).appendleft(shard)

    def _finish(self, shard: int) -> None:
        self._unfinished.discard(shard)
        self._holders.pop(shard, None)
        self._fruitless.pop(shard, None)
        self._failures.pop(shard, None)
        self.ledger.close(shard)

    def _give_up(self, shard: int, reason: str) -> None:
        """Go on without a shard that nothing can carry out; the others shall not wait for it."""
        self.set_aside[shard] = reason
        self._unfinished.discard(shard)
        self._holders.pop(shard, None)

    def _advance(self, now: float) -> None:
        if self._seen is not None:
            self._time += min(max(now - self._seen, 0.0), self.policy.longest_step)
        self._seen = now
