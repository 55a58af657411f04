"""Shard workers in Ray actors: how they are started, asked and ended, and how their deaths are told apart.

Import it after `ray_session.prepare_environment`: Ray reads its environment when it is imported.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import (
    ActorUnavailableError,
    NodeDiedError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from annotator.locations import is_remote
from annotator.runtime.intents import InFlight, IntentLog, in_flight, read_crash, write_crashes_to
from annotator.runtime.job import Job, Progress, ShardTask
from annotator.runtime.line import DeviceLostError
from annotator.runtime.ray.room import threads_here
from annotator.runtime.scheduling.blame import Care, Cause, Death

# What the node of a dead worker has to tell is waited for so long.
LOOK_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker runs."""

    node: str  # Ray's id
    host: str
    pid: int


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life: `marks` grows with every step of the work, whatever shard it is for."""

    marks: int
    shards: tuple[Progress, ...]


class ShardActor:
    """A shard worker in a process of its own. Shards run in threads of one group, `beat` in another."""

    def __init__(self, job: Job, name: str, depth: int) -> None:
        self._job, self._name, self._depth = job, name, depth
        self._worker = None
        self._progress: dict[int, Progress] = {}
        self._logs: dict[int, IntentLog] = {}
        self._marks = 0

    def load(self, gpus: int, cpus: int) -> Place:
        """Build the models, with what was asked for. Not done by the constructor, so that an error arrives as
        what it is."""
        from annotator.runtime.worker import ShardWorker

        write_crashes_to(self._job.run_dir, self._name)
        threads = threads_here(self._job.config, gpus, cpus)
        self._worker = ShardWorker(self._job, threads, overlapping=self._depth)
        return Place(ray.get_runtime_context().get_node_id(), socket.gethostname(), os.getpid())

    def run(self, task: ShardTask, care: Care, attempt: str) -> Progress:
        """Carry out a shard; see `ShardWorker.run`."""
        assert self._worker is not None
        log = self._logs[task.shard] = self._worker.attempt(task, attempt)
        try:
            return self._worker.run(task, self._note, care, log)
        finally:
            self._progress.pop(task.shard, None)
            self._marks += self._logs.pop(task.shard).marks

    def _note(self, progress: Progress) -> None:
        self._progress[progress.shard] = progress

    def beat(self) -> Beat:
        """How far it has come."""
        marks = self._marks + sum(log.marks for log in list(self._logs.values()))
        if self._worker is not None:
            marks += self._worker.pulses
        return Beat(marks, tuple(self._progress.values()))


@dataclass(slots=True)
class Crew:
    """The actors of a job, by number.

    Attributes:
        job: what they work on.
        driver: prefix of the names of workers and attempts, unique in the run.
        depth: shards that an actor may have under way at once.
    """

    job: Job
    driver: str
    depth: int
    _actors: dict[int, Any] = field(default_factory=dict)
    _places: dict[int, Place] = field(default_factory=dict)
    _calls: dict[ray.ObjectRef, tuple[int, int | None]] = field(default_factory=dict)  # worker, lease
    _beats: dict[ray.ObjectRef, int] = field(default_factory=dict)
    _owing: set[int] = field(default_factory=set)  # workers in _beats

    def name(self, worker: int) -> str:
        """What a worker is called in files and logs."""
        return f"{self.driver}-w{worker}"

    def attempt(self, lease: int, shard: int) -> str:
        """What the intent record of a lease is called."""
        return f"s{shard:06d}-{self.driver}-{lease}"

    def place(self, worker: int) -> Place | None:
        """Where a worker runs, once it is ready."""
        return self._places.get(worker)

    def start(self, worker: int, gpus: int, cpus: int) -> None:
        """Ask for an actor; `wait` tells with a `Beat` that it runs, and when it has built its models."""
        actor = (
            ray.remote(
                max_restarts=0,
                max_task_retries=0,
                concurrency_groups={"work": self.depth, "health": 1},
            )(ShardActor)  # pyright: ignore[reportCallIssue, reportArgumentType]
            .options(num_gpus=gpus, num_cpus=cpus, scheduling_strategy="DEFAULT" if gpus else "SPREAD")
            .remote(self.job, self.name(worker), self.depth)
        )
        self._actors[worker] = actor
        load = actor.load.options(concurrency_group="work")
        self._calls[load.remote(gpus, cpus)] = (worker, None)
        # Ray keeps the question until the actor has a place.
        self.ask(worker)

    def lease(self, worker: int, lease: int, task: ShardTask, care: Care) -> None:
        """Let an actor carry out a shard; `wait` tells when it has."""
        run = self._actors[worker].run.options(concurrency_group="work")
        self._calls[run.remote(task, care, self.attempt(lease, task.shard))] = (worker, lease)

    def ask(self, worker: int) -> None:
        """Ask an actor for a sign of life, unless it still owes one."""
        if worker in self._actors and worker not in self._owing:
            beat = self._actors[worker].beat.options(concurrency_group="health")
            self._beats[beat.remote()] = worker
            self._owing.add(worker)

    def end(self, worker: int) -> None:
        """End an actor at once and forget everything it owes."""
        actor = self._actors.pop(worker, None)
        self._places.pop(worker, None)
        self._calls = {ref: owner for ref, owner in self._calls.items() if owner[0] != worker}
        if worker in self._owing:
            self._owing.discard(worker)
            self._beats = {ref: owner for ref, owner in self._beats.items() if owner != worker}
        if actor is not None:
            ray.kill(actor)

    def wait(self, seconds: float) -> Iterator[tuple[int, int | None, Place | Progress | Beat | RayError]]:
        """What came back within `seconds`: (worker, lease, answer).

        A `Place` says that a worker is ready, a `Progress` that a lease is done, a `Beat` that it lives; what
        an error says, `death` tells.
        """
        refs = [*self._calls, *self._beats]
        if not refs:
            return
        ray.wait(refs, timeout=seconds)
        done, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        for ref in done:
            if ref in self._beats:
                worker, lease = self._beats.pop(ref), None
                self._owing.discard(worker)
            elif ref in self._calls:
                worker, lease = self._calls.pop(ref)
            else:
                continue  # of a worker that ended while we went through the answers
            try:
                answer = ray.get(ref)
            except RayError as error:
                answer = error
            if isinstance(answer, Place):
                self._places[worker] = answer
            yield worker, lease, answer

    def in_flight(self, worker: int, attempts: dict[int, str]) -> dict[int, tuple[int, ...]]:
        """Indices of the items that a worker is working on, or was when it died, by shard."""
        found = self._there(worker, _in_flight, self.job.run_dir, attempts)
        return {shard: items.indices for shard, items in (found or {}).items()}

    def _there(self, worker: int, look: Callable[..., Any], *arguments: Any) -> Any:
        """What `look` finds on the node of a worker; None where that node does not answer.

        Only where the run folder is in an object store do nodes keep records to themselves.
        """
        place = self._places.get(worker)
        if not is_remote(self.job.run_dir) or place is None:
            return look(*arguments)
        if place.node == ray.get_runtime_context().get_node_id():
            return look(*arguments)
        task = ray.remote(num_cpus=0, max_retries=0)(look)
        there = NodeAffinitySchedulingStrategy(place.node, soft=False)
        try:
            return ray.get(task.options(scheduling_strategy=there).remote(*arguments), timeout=LOOK_SECONDS)
        except (RayError, TimeoutError):
            return None

    def death(self, worker: int, error: RayError) -> Death:
        """Why a worker is gone."""
        detail = _last_words(error)
        if isinstance(error, RayTaskError):
            lost = isinstance(error.cause, DeviceLostError)
            return Death(Cause.CRASHED if lost else Cause.KILLED, str(error.cause))
        crash = self._there(worker, read_crash, self.job.run_dir, self.name(worker))
        if crash is not None:
            return crash
        if isinstance(error, OutOfMemoryError) or "running low on memory" in str(error):
            return Death(Cause.MEMORY, detail)
        place = self._places.get(worker)
        # Of a worker that was still starting, where it ran is known to Ray alone.
        gone = isinstance(error, NodeDiedError) or "its node has died" in str(error)
        if gone or (place is not None and not _node_lives(place.node)):
            return Death(Cause.NODE, f"its node {place.host if place else ''} is gone".replace("  ", " "))
        if isinstance(error, ActorUnavailableError):
            return Death(Cause.LOST, detail)
        return Death(Cause.KILLED, detail)


def _in_flight(run_dir: str, attempts: dict[int, str]) -> dict[int, InFlight]:
    return {shard: in_flight(run_dir, attempt) for shard, attempt in attempts.items()}


def _node_lives(node: str) -> bool:
    return any(entry["NodeID"] == node and entry["Alive"] for entry in ray.nodes())


def _last_words(error: RayError) -> str:
    """The part of Ray's message that says what happened."""
    text = " ".join(str(error).split())
    for sign in ("Worker exit detail: ", "The actor is dead because ", "The actor died because "):
        _, found, rest = text.partition(sign)
        if found:
            return rest.split(" Some common causes", 1)[0][:300]
    return text[:300] or type(error).__name__
