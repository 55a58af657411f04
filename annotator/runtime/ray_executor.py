"""The Ray executor: the same shard worker in one actor a device, on this machine or on a cluster.

Import it after `ray_session.prepare_environment`: Ray reads its environment when it is imported.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from annotator.errors import AnnotatorError, RunFailed
from annotator.runtime.job import Job, Progress, Report
from annotator.runtime.ray_session import ray_session

MAX_DEATHS_PER_SHARD = 3
POLL_SECONDS = 0.5

log = logging.getLogger(__name__)


def run_on_ray(job: Job, shards: Sequence[int], report: Report) -> None:
    """Carry out `shards` on Ray actors; see `runtime.job.Executor`.

    A worker that dies is replaced and its shard is handed out again; a shard that has taken
    `MAX_DEATHS_PER_SHARD` workers down stops the run.
    """
    with ray_session(job.config.address):
        _Pool(job, report).carry_out(shards)


@ray.remote(max_restarts=0, max_task_retries=0, concurrency_groups={"health": 1})
class _Actor:
    """A shard worker in its own process."""

    def __init__(self, job: Job, torch_threads: int | None) -> None:
        import torch

        from annotator.runtime.worker import ShardWorker

        if torch_threads:
            torch.set_num_threads(torch_threads)
        self._progress: Progress | None = None
        self._worker = ShardWorker(job)

    def ready(self) -> bool:
        return True

    def run(self, shard: int) -> Progress:
        return self._worker.run(shard, self._note)

    def _note(self, progress: Progress) -> None:
        self._progress = progress

    @ray.method(concurrency_group="health")
    def progress(self) -> Progress | None:
        return self._progress


@dataclass
class _Slot:
    """One actor and what it is doing: `call` resolves when it is ready, or when `shard` is done."""

    actor: ray.actor.ActorHandle
    call: ray.ObjectRef
    shard: int | None = None
    peek: ray.ObjectRef | None = None


@dataclass
class _Pool:
    """Hands shards to actors and replaces those that die."""

    job: Job
    report: Report
    slots: list[_Slot] = field(default_factory=list)
    deaths: dict[int, int] = field(default_factory=dict)
    failed_starts: int = 0

    def carry_out(self, shards: Sequence[int]) -> None:
        waiting = deque(shards)
        cpus, gpus = _resources()
        wanted = min(self.job.config.workers or max(1, gpus), len(waiting))
        options = {"num_gpus": 1 if gpus and self.job.config.device != "cpu" else 0}
        options["num_cpus"] = max(1, cpus // max(1, wanted)) if not options["num_gpus"] else 1
        threads = options["num_cpus"]

        def start() -> _Slot:
            actor = _Actor.options(**options).remote(self.job, threads)
            return _Slot(actor, actor.ready.remote())

        self.slots = [start() for _ in range(wanted)]
        while waiting or any(slot.shard is not None for slot in self.slots):
            done, _ = ray.wait([slot.call for slot in self.slots], timeout=POLL_SECONDS)
            for slot in [slot for slot in self.slots if slot.call in done]:
                if not self._collect(slot, waiting):
                    self.slots.remove(slot)
                    if waiting:
                        self.slots.append(start())
                elif waiting:
                    slot.shard = waiting.popleft()
                    slot.call = slot.actor.run.remote(slot.shard)
                else:
                    ray.kill(slot.actor)
                    self.slots.remove(slot)
            self._peek()
        for slot in self.slots:
            ray.kill(slot.actor)

    def _collect(self, slot: _Slot, waiting: deque[int]) -> bool:
        """Take a finished call's result; False when the actor is gone and its shard waits again."""
        shard, slot.shard = slot.shard, None
        try:
            result = ray.get(slot.call)
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, AnnotatorError):
                raise cause from None
            raise RunFailed(
                f"a worker failed at {'its start' if shard is None else f'shard {shard}'}: {error}"
            ) from error
        except RayActorError as error:
            if isinstance(error.__cause__, AnnotatorError):
                raise error.__cause__ from None
            self._mourn(shard, error)
        except RayError as error:
            self._mourn(shard, error)
        else:
            if isinstance(result, Progress):
                self.report(result)
            self.failed_starts = 0
            return True
        ray.kill(slot.actor)
        if shard is not None:
            waiting.appendleft(shard)
        return False

    def _mourn(self, shard: int | None, error: RayError) -> None:
        """Count a death; stop the run when one shard, or the start itself, keeps killing workers."""
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        if shard is None:
            self.failed_starts += 1
            if self.failed_starts >= MAX_DEATHS_PER_SHARD:
                raise RunFailed(
                    f"{self.failed_starts} workers in a row died while starting; the last one said: {error}"
                )
            return
        self.deaths[shard] = self.deaths.get(shard, 0) + 1
        log.warning("a worker died at shard %d (%s); the shard is handed out again", shard, reason)
        if self.deaths[shard] >= MAX_DEATHS_PER_SHARD:
            raise RunFailed(
                f"shard {shard} has taken {self.deaths[shard]} workers down ({reason}); all committed "
                "shards are safe; run again to go on, or with --executor inline to see the crash"
            )

    def _peek(self) -> None:
        """Report how far the running shards have come, without waiting for busy actors."""
        for slot in self.slots:
            if slot.shard is None:
                continue
            if slot.peek is not None:
                ready, _ = ray.wait([slot.peek], timeout=0)
                if not ready:
                    continue
                try:
                    seen = ray.get(slot.peek)
                except RayError:
                    seen = None
                if seen is not None and seen.shard == slot.shard and not seen.committed:
                    self.report(seen)
            slot.peek = slot.actor.progress.remote()


def _resources() -> tuple[int, int]:
    """CPUs and GPUs of the cluster, whole numbers."""
    total = ray.cluster_resources()
    return int(total.get("CPU", 1)), int(total.get("GPU", 0))
