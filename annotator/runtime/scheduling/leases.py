"""Who works on which shard: leases, replacements, stragglers and deadlines.

No Ray, no threads, no clock of its own. An executor tells the scheduler what happened (`placed`, `ready`,
`progressed`, `done`, `failed`, `died`), asks it what to do (`decide`), and does that. Every call takes the
time, in seconds of any monotonic clock. What is left to do is in `backlog`, who is there to do it in
`roster`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import count
from statistics import median

from annotator.runtime.scheduling.backlog import Backlog, Held
from annotator.runtime.scheduling.blame import Cause, Death, Ledger
from annotator.runtime.scheduling.policy import Command, End, Lease, Policy, Start
from annotator.runtime.scheduling.roster import Roster, State, Worker


class Scheduler:
    """Leases shards to workers until each is done once, or set aside because nothing can carry it out.

    What a call costs does not grow with the workers, but for three looks at all of them: at their deadlines
    once a second, for those too many when room or work runs out, and for stragglers at the very end.

    Args:
        shards: to carry out, in the order in which they are to be started.
        policy: see `Policy`.
        ledger: what is known of bad items.
    """

    def __init__(
        self, shards: Iterable[int], policy: Policy | None = None, ledger: Ledger | None = None
    ) -> None:
        self.policy = policy or Policy()
        self.ledger = ledger or Ledger()
        self._backlog = Backlog(shards, self.ledger)
        self._roster = Roster(self.policy)
        self._ends: list[End] = []
        self._durations: deque[float] = deque(maxlen=64)
        self._capacity = 0
        self._next_look = 0.0
        self._lease_numbers = count()
        self._seen: float | None = None
        self._time = 0.0

    # What happened

    def set_capacity(self, workers: int) -> None:
        """How many workers there is room for now; nodes join and leave."""
        self._capacity = workers

    def placed(self, worker: int, now: float) -> None:
        """A started worker has found a place and builds its models."""
        self._advance(now)
        entry = self._roster.get(worker)
        if entry is not None:
            self._roster.placed(entry, self._time)

    def withdraw(self, worker: int) -> None:
        """What a started worker waits for will not come: end it, so that another is started."""
        if self._roster.get(worker) is not None:
            self._roster.remove(worker)
            self._ends.append(End(worker))

    def ready(self, worker: int, now: float) -> None:
        """A started worker can take leases."""
        self._advance(now)
        entry = self._roster.get(worker)
        if entry is not None and entry.state is State.STARTING:
            self._roster.came_up(entry)

    def progressed(self, worker: int, mark: Hashable, now: float) -> None:
        """A worker answered; it has made progress if `mark` differs from what it showed last."""
        self._advance(now)
        entry = self._roster.get(worker)
        if entry is not None and mark != entry.mark:
            entry.mark = mark
            self._roster.extend(entry, self._time)

    def done(self, worker: int, lease: int, now: float) -> bool:
        """A lease ended with its shard committed, by this worker or another.

        Returns whether that was the first news of it.
        """
        self._advance(now)
        held = self._release(worker, lease)
        if held is None or held.shard not in self._backlog.unfinished:
            return False
        self._durations.append(self._time - held.since)
        self._backlog.finish(held.shard)
        return True

    def failed(self, worker: int, lease: int, reason: str, now: float) -> None:
        """A lease ended with an exception that is about no single item. The worker is replaced."""
        self._advance(now)
        held = self._release(worker, lease)
        if held is None:
            return
        backlog = self._backlog
        if held.shard in backlog.unfinished:
            failures = backlog.failed(held.shard)
            if failures >= self.policy.failures:
                backlog.give_up(held.shard, f"it failed {failures} times, at last with {reason}")
            else:
                backlog.requeue(held.shard)
        entry = self._roster.remove(worker)
        for other in entry.held:
            backlog.let_go(other)
            backlog.requeue(other.shard)
        self._ends.append(End(worker))

    def died(self, worker: int, death: Death, in_flight: Mapping[int, Sequence[int]], now: float) -> None:
        """A worker is gone. What it held goes to others; only what it was working on is to blame.

        Args:
            in_flight: indices of the items that it was working on, by shard; from its intent records.

        Raises:
            RunFailed: it did not come up, neither did those before it, and no other lives.
        """
        self._advance(now)
        if self._roster.get(worker) is None:
            return
        entry = self._roster.remove(worker)
        if entry.state is State.STARTING:
            self._roster.start_failed(death, self._time)
            return
        backlog = self._backlog
        alone = sum(len(items) for items in in_flight.values()) == 1
        suspected = {shard: items for shard, items in in_flight.items() if shard in backlog.unfinished}
        learned = self.ledger.blame(death, suspected, alone)
        for place, held in enumerate(entry.held):
            backlog.let_go(held)
            if held.shard not in backlog.unfinished:
                continue
            if held.shard in learned:
                backlog.taught(held.shard)
            elif place == 0 and death.cause.blames:
                # Only the first lease was under way; a second one merely decodes ahead.
                deaths = backlog.taught_nothing(held.shard)
                if deaths >= self.policy.fruitless:
                    backlog.give_up(
                        held.shard,
                        f"{deaths} workers in a row died on it and no input is to blame; the last one: "
                        f"{death.detail or death.cause.value}",
                    )
                    continue
            backlog.requeue(held.shard)

    # What to do

    def decide(self, now: float) -> list[Command]:
        """What to do now, in this order. Call it after every event, and every second or so without one."""
        self._advance(now)
        commands: list[Command] = [*self._ends, *self._overdue(), *self._surplus(), *self._starts()]
        self._ends.clear()
        while (lease := self._next_lease()) is not None:
            commands.append(lease)
        if self._roster.idle and not self._backlog.waiting and not self._backlog.delicate:
            commands.extend(self._stragglers())
        return commands

    @property
    def finished(self) -> bool:
        """Every shard is done or set aside."""
        return not self._backlog.unfinished

    @property
    def unfinished(self) -> int:
        """Shards under way or waiting."""
        return len(self._backlog.unfinished)

    @property
    def set_aside(self) -> dict[int, str]:
        """Why, by shard, for those that were given up."""
        return self._backlog.set_aside

    @property
    def alive(self) -> int:
        """Workers that came up and did not end."""
        return self._roster.alive

    def holding(self, worker: int) -> dict[int, int]:
        """Shard by lease of what a worker holds, the one under way first."""
        entry = self._roster.get(worker)
        return {held.lease: held.shard for held in entry.held} if entry else {}

    def _overdue(self) -> list[End]:
        """Ends of workers past their deadline."""
        ends = []
        for entry, of_start in self._roster.overdue(self._time):
            if of_start:
                self._roster.remove(entry.number)
                ends.append(End(entry.number))
                reason = f"not ready after {self.policy.start_seconds:.0f} s"
                self._roster.start_failed(Death(Cause.HUNG, reason), self._time)
            else:
                reason = f"no progress for {self.policy.hang_seconds:.0f} s"
                ends.append(End(entry.number, Death(Cause.HUNG, reason)))
        return ends

    def _surplus(self) -> list[End]:
        return [End(number) for number in self._roster.surplus(self._capacity, self.unfinished)]

    def _starts(self) -> list[Start]:
        if not self._roster.may_start(self._time):
            return []
        wanted = min(self._capacity, self.unfinished) - len(self._roster)
        return [Start(self._roster.start().number) for _ in range(wanted)]

    def _next_lease(self) -> Lease | None:
        backlog, roster = self._backlog, self._roster
        if roster.idle:
            worker = next(iter(roster.idle.values()))
        elif roster.spare and not backlog.delicate and backlog.waiting > roster.present:
            # Near the end, and while a shard waits for a worker of its own, one lease a worker. Workers that
            # wait for a node do not count: none may ever join.
            worker = next(iter(roster.spare.values()))
        else:
            return None
        shard = backlog.next()
        return None if shard is None else self._give(worker, shard)

    def _give(self, entry: Worker, shard: int) -> Lease:
        alone = bool(self.ledger.suspects(shard))
        held = Held(next(self._lease_numbers), shard, entry.number, self._time, alone)
        entry.held.append(held)
        self._backlog.hold(held)
        self._roster.sort_in(entry)
        if len(entry.held) == 1:
            self._roster.extend(entry, self._time)
        return Lease(entry.number, held.lease, shard, self.ledger.care(shard))

    def _stragglers(self) -> list[Lease]:
        """Second leases on shards that take suspiciously long, for workers with nothing else to do."""
        if self._time < self._next_look:
            return []
        self._next_look = self._time + 1
        typical = median(self._durations) if self._durations else float("inf")
        late = self._time - max(self.policy.straggler_seconds, self.policy.straggler_factor * typical)
        idle = list(self._roster.idle.values())
        return [
            self._give(worker, shard)
            for worker, shard in zip(idle, self._backlog.stragglers(late), strict=False)
        ]

    def _release(self, worker: int, lease: int) -> Held | None:
        """Take a lease from a living worker; None when it holds no such lease (any more)."""
        entry = self._roster.get(worker)
        held = next((held for held in entry.held if held.lease == lease), None) if entry else None
        if entry is None or held is None:
            return None
        entry.held.remove(held)
        self._backlog.let_go(held)
        self._roster.sort_in(entry)
        self._roster.extend(entry, self._time)
        return held

    def _advance(self, now: float) -> None:
        if self._seen is not None:
            self._time += min(max(now - self._seen, 0.0), self.policy.longest_step)
        self._seen = now
