"""How many workers a cluster has room for, and what each asks for: never what no node can give."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from annotator.config import RunConfig
from annotator.runtime.ray import room as rooms


@pytest.fixture
def offered(monkeypatch):
    """`offered(nodes, **settings)`: workers, GPUs and CPUs on nodes of such resources."""

    def room(nodes: list[dict[str, float]], **settings) -> tuple[int, int, int]:
        monkeypatch.setattr(
            rooms.ray, "nodes", lambda: [{"Alive": True, "Resources": node} for node in nodes]
        )
        return rooms.room(RunConfig(inputs=("/data",), out="/run", **settings))

    return room


@pytest.fixture
def threads(monkeypatch):
    """`threads(nodes, name, gpus, cpus, **settings)`: of a worker on the node of that name."""

    def here(nodes: dict[str, dict[str, float]], name: str, gpus: int, cpus: int, **settings) -> int:
        listed = [{"NodeID": name, "Alive": True, "Resources": node} for name, node in nodes.items()]
        monkeypatch.setattr(rooms.ray, "nodes", lambda: listed)
        context = SimpleNamespace(get_node_id=lambda: name)
        monkeypatch.setattr(rooms.ray, "get_runtime_context", lambda: context)
        return rooms.threads_here(RunConfig(inputs=("/data",), out="/run", **settings), gpus, cpus)

    return here


def test_beside_its_gpu_a_worker_asks_for_what_every_node_has(offered):
    """A demand that no node can meet would bring none."""
    nodes = [{"CPU": 8, "GPU": 2}, {"CPU": 64, "GPU": 4}]
    for settings in ({}, {"decode_threads": 32}, {"device": "cuda"}):
        assert offered(nodes, **settings) == (6, 1, 1)
    head = {"CPU": 8, "GPU": 0}
    assert offered([head], device="cuda") == offered([], device="cuda") == (1, 1, 1)
    for found in ([head], [head, {"CPU": 64, "GPU": 1}]):
        assert offered(found, device="cuda", workers=16, decode_threads=6) == (16, 1, 1)


def test_without_gpus_the_workers_share_a_node(offered):
    assert offered([{"CPU": 8}], workers=2, decode_threads=32) == (2, 0, 4)


def test_a_worker_with_a_gpu_has_its_share_of_the_node(threads):
    nodes = {"big": {"CPU": 80, "GPU": 4}, "small": {"CPU": 8, "GPU": 1}, "bare": {"GPU": 1}, "head": {}}
    assert [threads(nodes, name, 1, 1) for name in ("big", "small", "bare")] == [16, 8, 1]
    assert threads(nodes, "big", 1, 1, decode_threads=3) == 3
    assert threads(nodes, "big", 1, 1, decode_threads=32) == 20


def test_a_cpu_worker_that_was_asked_for_before_a_node_was_there_has_its_share_all_the_same(offered, threads):
    assert offered([{"CPU": 0}], device="cpu") == (1, 0, 1)
    nodes = {"head": {"CPU": 0}, "joined": {"CPU": 16}}
    assert threads(nodes, "joined", 0, 1, device="cpu") == 16
    assert threads(nodes, "joined", 0, 1, device="cpu", workers=3) == 5
    assert threads(nodes | {"small": {"CPU": 4}}, "joined", 0, 8, device="cpu") == 8
