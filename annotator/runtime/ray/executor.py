"""The Ray executor: shard workers in actors, one a device, on this machine or on a cluster.

A thin adapter: `leases` decides, `ray_actors` carries it out and tells what happened. Import it after
`ray_session.prepare_environment`: Ray reads its environment when it is imported.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace

import ray
from ray.exceptions import RayError, RayTaskError

from annotator.errors import AnnotatorError, RunFailed, UserError
from annotator.runtime import intents
from annotator.runtime.cases import forget_cases, load_cases, save_cases
from annotator.runtime.engine_settings import settle_device
from annotator.runtime.job import Job, Progress, Report, ShardTask, WorkerNews
from annotator.runtime.line import DeviceLostError
from annotator.runtime.ray.actors import Beat, Crew, Place
from annotator.runtime.ray.metrics import counted
from annotator.runtime.ray.room import room
from annotator.runtime.ray.session import ray_session
from annotator.runtime.scheduling.blame import Death, Ledger
from annotator.runtime.scheduling.leases import Scheduler
from annotator.runtime.scheduling.policy import Command, Lease, Policy, Start

TICK_SECONDS = 0.5
LOOK_AROUND_SECONDS = 5.0
BEATS_A_SECOND = 100
# Without a worker this is said after so long, then after twice as long, and so on.
QUIET_SECONDS, LONGEST_QUIET = 60.0, 1800.0

log = logging.getLogger(__name__)


def run_on_ray(job: Job, tasks: Sequence[ShardTask], report: Report) -> None:
    """Carry out `tasks` on Ray actors; see `runtime.job.Executor`."""
    job = replace(job, config=settle_device(job.config))
    with ray_session(job.config.address):
        if job.config.address is None and job.config.device.startswith("cuda"):
            _check_gpu()
        try:
            Dispatcher(job, tasks, report, _policy(job)).carry_out()
        except RayError as error:
            raise RunFailed(
                f"the connection to Ray broke: {error}. What was committed is safe: run again to go on"
            ) from error


def _check_gpu() -> None:
    """Refuse to wait for a GPU where no node will join."""
    if not any(node["Resources"].get("GPU") for node in ray.nodes()):
        raise UserError(
            "--device cuda: Ray finds no GPU on this machine; use --device cpu, or see `annotator doctor`"
        )


def _policy(job: Job) -> Policy:
    return Policy(hang_seconds=job.config.hang_seconds)


class Dispatcher:
    """Carries messages between the scheduler and the actors until every task is done."""

    def __init__(self, job: Job, tasks: Sequence[ShardTask], report: Report, policy: Policy) -> None:
        self._job, self._report = job, report
        self._tasks = {task.shard: task for task in tasks}
        ledger = Ledger()
        generations = {task.shard: task.generation for task in tasks}
        self._with_cases = load_cases(job.run_dir, generations, ledger)
        self._scheduler = Scheduler(self._tasks, policy, ledger)
        if job.config.address is not None:
            # A Ray of our own has no dashboard, and so nobody who would collect the figures.
            self._report = counted(report, job.run_dir, lambda: self._scheduler.alive)
        self._crew = Crew(job, secrets.token_hex(4), policy.depth)
        self._workers: set[int] = set()
        # What those of them asked for (GPUs, CPUs) that have given no sign of life yet.
        self._unplaced: dict[int, tuple[int, int]] = {}
        self._beat_due = self._look_due = 0.0
        self._gpus, self._cpus = 0, 1
        self._most = 0
        self._alone_since, self._patience = time.monotonic(), QUIET_SECONDS

    def carry_out(self) -> None:
        """Returns when every task is committed.

        Raises:
            RunFailed: some could not be carried out, or no worker lives.
            UserError: the models cannot be built.
        """
        scheduler = self._scheduler
        try:
            while not scheduler.finished:
                self._look_around()
                for command in scheduler.decide(time.monotonic()):
                    self._obey(command)
                self._ask()
                for worker, lease, answer in self._crew.wait(TICK_SECONDS):
                    self._hear(worker, lease, answer)
        finally:
            for worker in self._workers:
                self._crew.end(worker)
        if scheduler.set_aside:
            shard, reason = next(iter(scheduler.set_aside.items()))
            raise RunFailed(
                f"{len(scheduler.set_aside)} shards could not be carried out. Shard {shard}: {reason}. All "
                "others are committed; run again to try once more, or with --executor inline to see the error"
            )

    def _obey(self, command: Command) -> None:
        crew = self._crew
        if isinstance(command, Start):
            self._workers.add(command.worker)
            self._unplaced[command.worker] = self._gpus, self._cpus
            crew.start(command.worker, self._gpus, self._cpus)
            if self._job.config.address is None:
                # No node will join a Ray of our own: what does not come up there fails.
                self._scheduler.placed(command.worker, time.monotonic())
            self._tell(command.worker, "started")
        elif isinstance(command, Lease):
            crew.lease(command.worker, command.lease, self._tasks[command.shard], command.care)
        elif command.death is not None:
            self._bury(command.worker, command.death)
        else:
            self._tell(command.worker, "ended")
            self._forget(command.worker)

    def _hear(self, worker: int, lease: int | None, answer: Place | Progress | Beat | RayError) -> None:
        now = time.monotonic()
        if worker not in self._workers:
            return
        self._unplaced.pop(worker, None)
        if isinstance(answer, Place):
            self._scheduler.ready(worker, now)
            self._tell(worker, "ready", f"pid {answer.pid}")
        elif isinstance(answer, Beat) and self._crew.place(worker) is None:
            self._scheduler.placed(worker, now)
        elif isinstance(answer, Beat):
            self._scheduler.progressed(worker, answer.marks, now)
            for progress in answer.shards:
                if not progress.committed:
                    self._report(replace(progress, worker=self._crew.name(worker)))
            self._tell(worker, "beat")
        elif isinstance(answer, Progress):
            if lease is not None and self._scheduler.done(worker, lease, now):
                if answer.shard in self._with_cases:
                    forget_cases(self._job.run_dir, answer.shard)
                self._report(replace(answer, worker=self._crew.name(worker)))
        elif isinstance(answer, RayTaskError) and not isinstance(answer.cause, DeviceLostError):
            self._excuse(worker, lease, answer)
        else:
            self._bury(worker, self._crew.death(worker, answer))

    def _excuse(self, worker: int, lease: int | None, error: RayTaskError) -> None:
        """A call raised. Errors of ours are the run's, unless others came up where this one did not."""
        if isinstance(error.cause, AnnotatorError) and not (lease is None and self._scheduler.alive):
            raise error.cause from None
        reason = f"{type(error.cause).__name__}: {error.cause}"
        log.warning("worker %s failed: %s", self._crew.name(worker), reason)
        if lease is None:
            self._bury(worker, Death(self._crew.death(worker, error).cause, reason))
        else:
            self._scheduler.failed(worker, lease, reason, time.monotonic())

    def _bury(self, worker: int, death: Death) -> None:
        """A worker is dead, or is now: find out what it was working on, and tell the scheduler."""
        run_dir, crew = self._job.run_dir, self._crew
        held = self._scheduler.holding(worker)
        attempts = {shard: crew.attempt(lease, shard) for lease, shard in held.items()}
        in_flight = crew.in_flight(worker, attempts)
        log.warning("worker %s is gone (%s: %s)", crew.name(worker), death.cause.value, death.detail)
        self._tell(worker, "died", f"{death.cause.value}: {death.detail}")
        self._forget(worker)
        for attempt in attempts.values():
            intents.forget(run_dir, attempt)
        self._scheduler.died(worker, death, in_flight, time.monotonic())
        for shard in held.values():
            if save_cases(run_dir, shard, self._tasks[shard].generation, self._scheduler.ledger):
                self._with_cases.add(shard)

    def _forget(self, worker: int) -> None:
        self._workers.discard(worker)
        self._unplaced.pop(worker, None)
        self._crew.end(worker)
        intents.forget_crash(self._job.run_dir, self._crew.name(worker))

    def _ask(self) -> None:
        """Ask for signs of life, at a pace that two thousand workers do not notice."""
        now = time.monotonic()
        if now < self._beat_due:
            return
        self._beat_due = now + max(1.0, len(self._workers) / BEATS_A_SECOND)
        for worker in self._workers:
            if self._crew.place(worker) is not None:
                self._crew.ask(worker)

    def _look_around(self) -> None:
        """What the cluster offers now; nodes join and leave."""
        now = time.monotonic()
        if self._scheduler.alive:
            self._alone_since, self._patience = now, QUIET_SECONDS
        elif now - self._alone_since > self._patience:
            self._alone_since, self._patience = now, min(2 * self._patience, LONGEST_QUIET)
            log.warning(
                "no worker is ready: each asks for %d GPU and %d CPU, of which the cluster has %s free; "
                "those without a place wait for a node to join",
                self._gpus,
                self._cpus,
                {kind: ray.available_resources().get(kind, 0) for kind in ("GPU", "CPU")},
            )
        if now < self._look_due:
            return
        self._look_due = now + LOOK_AROUND_SECONDS
        workers, self._gpus, self._cpus = room(self._job.config)
        if self._gpus:
            # GPUs that were there are asked for again, which is what makes an autoscaler bring them.
            workers = self._most = max(workers, self._most)
        self._scheduler.set_capacity(workers)
        for worker, asked in self._unplaced.items():
            if asked != (self._gpus, self._cpus):
                # The nodes are others now, and may never have what it asks for.
                self._scheduler.withdraw(worker)

    def _tell(self, worker: int, event: str, detail: str = "") -> None:
        place = self._crew.place(worker)
        shards = tuple(self._scheduler.holding(worker).values())
        node = f"{place.host}/{place.node[:8]}" if place else ""
        self._report(WorkerNews(self._crew.name(worker), event, node, detail, shards))
