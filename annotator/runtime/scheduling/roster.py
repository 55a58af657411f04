"""Workers as the scheduler sees them: on their way, ready, idle, past a deadline; and the pace of starts."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count

from annotator.errors import RunFailed
from annotator.runtime.scheduling.backlog import Held
from annotator.runtime.scheduling.blame import Cause, Death
from annotator.runtime.scheduling.policy import Policy


class State(Enum):
    """Of a worker."""

    STARTING = auto()
    READY = auto()
    DOOMED = auto()  # its End was given out, its death not yet reported


@dataclass(slots=True)
class Worker:
    """A worker from its start to its end.

    Attributes:
        number: not used twice.
        deadline: seconds of the scheduler's clock; to be ready, from the time it has a place, then to make
            progress.
        mark: its progress as it last showed it.
        held: its leases, the one under way first.
    """

    number: int
    deadline: float = math.inf
    state: State = State.STARTING
    mark: Hashable = None
    held: list[Held] = field(default_factory=list)


class Roster:
    """All workers by number, those without a lease (`idle`) and those that can take another (`spare`)."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._workers: dict[int, Worker] = {}
        # Ordered sets.
        self.idle: dict[int, Worker] = {}
        self.spare: dict[int, Worker] = {}
        self._unplaced: set[int] = set()
        self._numbers = count()
        self.starting = 0
        self._failed_starts = 0
        self._pauses = 0
        self._not_before = 0.0
        self._next_look = 0.0

    def __len__(self) -> int:
        return len(self._workers)

    def get(self, number: int) -> Worker | None:
        """A worker that did not end."""
        return self._workers.get(number)

    @property
    def alive(self) -> int:
        """Workers that came up and did not end."""
        return len(self._workers) - self.starting

    @property
    def present(self) -> int:
        """Workers with a place: those alive, and those that build their models."""
        return len(self._workers) - len(self._unplaced)

    # Coming and going

    def start(self) -> Worker:
        """A new one."""
        worker = Worker(next(self._numbers))
        self._workers[worker.number] = worker
        self._unplaced.add(worker.number)
        self.starting += 1
        return worker

    def placed(self, worker: Worker, now: float) -> None:
        """Its process runs, and has until its deadline to come up."""
        if worker.number in self._unplaced:
            self._unplaced.discard(worker.number)
            worker.deadline = now + self._policy.start_seconds

    def may_start(self, now: float) -> bool:
        """Whether no pause is under way after failed starts."""
        return now >= self._not_before

    def came_up(self, worker: Worker) -> None:
        """It can take leases."""
        worker.state = State.READY
        self._unplaced.discard(worker.number)
        self.starting -= 1
        self._failed_starts = self._pauses = 0
        self._not_before = 0.0
        self.sort_in(worker)

    def start_failed(self, death: Death, now: float) -> None:
        """One did not come up; after several in a row there is a pause.

        Raises:
            RunFailed: no other lives.
        """
        self._failed_starts += death.cause is not Cause.NODE
        if self._failed_starts < self._policy.failed_starts:
            return
        if not self.alive:
            raise RunFailed(
                f"no worker lives, and the last {self._failed_starts} did not come up. The last one: "
                f"{death.detail or death.cause.value}"
            )
        pause = min(self._policy.backoff_seconds * 2**self._pauses, self._policy.longest_backoff)
        self._not_before = now + pause
        self._pauses += 1

    def remove(self, number: int) -> Worker:
        """It is gone."""
        worker = self._workers.pop(number)
        self._unplaced.discard(number)
        self.starting -= worker.state is State.STARTING
        self.idle.pop(number, None)
        self.spare.pop(number, None)
        return worker

    def surplus(self, capacity: int, unfinished: int) -> list[int]:
        """Remove who is not needed, more than there is room for or on the way to no shard; their numbers."""
        excess = len(self._workers) - capacity
        waste = min(self.starting, len(self._workers) - unfinished)
        removed = []
        if excess <= 0 and waste <= 0:
            return removed
        for worker in reversed(list(self._workers.values())):
            starting = worker.state is State.STARTING
            if starting and (excess > 0 or waste > 0):
                waste -= 1
            elif not (worker.state is State.READY and not worker.held and excess > 0):
                continue
            excess -= 1
            removed.append(self.remove(worker.number).number)
        return removed

    # Leases and deadlines

    def sort_in(self, worker: Worker) -> None:
        """Put a worker among the idle, those with a lease to spare, or neither."""
        self.idle.pop(worker.number, None)
        self.spare.pop(worker.number, None)
        if worker.state is not State.READY:
            return
        if not worker.held:
            self.idle[worker.number] = worker
        elif len(worker.held) < self._policy.depth and not worker.held[0].alone:
            self.spare[worker.number] = worker

    def extend(self, worker: Worker, now: float) -> None:
        """Let the hang deadline of a worker begin anew."""
        worker.deadline = now + self._policy.hang_seconds

    def overdue(self, now: float) -> Iterator[tuple[Worker, bool]]:
        """Workers past their deadline, each once, and whether it was the one for coming up.

        Those that hang are doomed; those that did not come up are the caller's to remove. It looks once a
        second: a walk over all workers at each event would cost the more the more of them there are.
        """
        if now < self._next_look:
            return
        self._next_look = now + 1
        for worker in [worker for worker in self._workers.values() if worker.deadline <= now]:
            if worker.state is State.STARTING:
                yield worker, True
            elif worker.state is State.READY and worker.held:
                worker.state = State.DOOMED
                self.sort_in(worker)
                yield worker, False
