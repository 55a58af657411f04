"""What the dispatcher makes of a cluster that changes; no Ray is started."""

from __future__ import annotations

import errno
import os
import time

import pytest
from ray.exceptions import RayTaskError

from annotator.config import RunConfig
from annotator.errors import UserError
from annotator.models.sources import ModelSource
from annotator.runtime.job import Job, ShardTask
from annotator.runtime.ray import executor
from annotator.runtime.ray.actors import Beat, Crew
from annotator.runtime.ray.executor import Dispatcher
from annotator.runtime.scheduling.policy import End, Policy, Start
from annotator.store.schema import ModelRecord, Provenance


@pytest.fixture
def dispatch(tmp_path):
    """`dispatch(start_seconds, **settings)`: a dispatcher with nine shards to do."""

    def make(start_seconds: float = 0, **settings) -> Dispatcher:
        config = RunConfig(inputs=("/data",), out=str(tmp_path), **settings)
        provenance = Provenance(ModelRecord("fake"), None, None, "01" * 32, "23" * 32)
        job = Job(config, str(tmp_path), ModelSource("fake", "pose", "", None, "random"), None, provenance)
        tasks = [ShardTask(shard) for shard in range(9)]
        return Dispatcher(job, tasks, lambda news: None, Policy(start_seconds=start_seconds))

    return make


@pytest.fixture
def dispatcher(dispatch) -> Dispatcher:
    return dispatch(device="cuda", address="auto")


@pytest.fixture
def asked(monkeypatch) -> dict[int, tuple[int, int]]:
    """GPUs and CPUs that were asked for, by worker that did not end; nobody answers."""
    asked: dict[int, tuple[int, int]] = {}
    monkeypatch.setattr(Crew, "start", lambda crew, worker, *demand: asked.__setitem__(worker, demand))
    monkeypatch.setattr(Crew, "end", lambda crew, worker: asked.pop(worker, None))
    return asked


def test_the_time_to_get_ready_begins_with_the_first_sign_of_life(dispatcher):
    scheduler = dispatcher._scheduler
    scheduler.set_capacity(1)
    assert scheduler.decide(0) == [Start(0)]
    dispatcher._workers.add(0)
    assert scheduler.decide(5) == []
    dispatcher._hear(0, None, Beat(0, ()))
    assert End(0) in scheduler.decide(10)


@pytest.mark.parametrize(("address", "given_up"), [(None, True), ("auto", False)])
def test_a_place_is_waited_for_only_where_nodes_may_join(dispatch, asked, address, given_up):
    dispatcher = dispatch(address=address)
    scheduler = dispatcher._scheduler
    scheduler.set_capacity(1)
    for command in scheduler.decide(time.monotonic()):
        dispatcher._obey(command)
    assert asked == {0: (0, 1)}
    assert (End(0) in scheduler.decide(time.monotonic() + 1)) is given_up


def test_a_plan_that_cannot_be_read_at_a_start_costs_that_start(dispatch, asked):
    """The only worker died while the storage did not answer: the next one may read it."""
    dispatcher = dispatch(start_seconds=60, address="auto")
    scheduler = dispatcher._scheduler
    scheduler.set_capacity(1)
    for command in scheduler.decide(time.monotonic()):
        dispatcher._obey(command)
    stale = OSError(errno.ESTALE, os.strerror(errno.ESTALE), "/run/plan/items.parquet")
    dispatcher._hear(0, None, RayTaskError("place", "Traceback ...", stale))
    assert Start(1) in scheduler.decide(time.monotonic())
    damaged = RayTaskError("place", "Traceback ...", UserError("the plan is damaged"))
    dispatcher._workers.add(1)
    with pytest.raises(UserError, match="is damaged"):
        dispatcher._hear(1, None, damaged)


def test_gpus_that_left_are_asked_for_again(dispatcher, monkeypatch):
    """That is what makes an autoscaler bring them."""
    monkeypatch.setattr(executor, "LOOK_AROUND_SECONDS", 0)
    for found, asked in ((0, 1), (4, 4), (2, 4), (0, 4), (6, 6)):
        nodes = [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}}] * found
        monkeypatch.setattr(executor.ray, "nodes", lambda nodes=nodes: nodes)
        dispatcher._look_around()
        assert (dispatcher._scheduler._capacity, dispatcher._gpus) == (asked, 1)


def test_workers_without_a_place_ask_for_what_the_nodes_have_now(dispatch, asked, monkeypatch):
    """Those with a place keep it."""
    dispatcher = dispatch(60, device="cpu", address="auto", workers=2)
    monkeypatch.setattr(executor, "LOOK_AROUND_SECONDS", 0)

    def see(*cpus: float) -> dict[int, tuple[int, int]]:
        nodes = [{"Alive": True, "Resources": {"CPU": count}} for count in cpus]
        monkeypatch.setattr(executor.ray, "nodes", lambda: nodes)
        dispatcher._look_around()
        for command in dispatcher._scheduler.decide(time.monotonic()):
            dispatcher._obey(command)
        return asked

    assert see(16, 16) == {0: (0, 16), 1: (0, 16)}
    dispatcher._hear(0, None, Beat(0, ()))
    assert see(16, 16) == {0: (0, 16), 1: (0, 16)}
    assert see(16, 8) == {0: (0, 16), 2: (0, 8)}


def test_a_gpu_that_this_machine_lacks_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(executor.ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 8.0}}])
    with pytest.raises(UserError, match="finds no GPU on this machine; use --device cpu"):
        executor._check_gpu()
