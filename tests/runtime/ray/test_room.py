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


def test_decode_threads_never_ask_for_more_cpus_than_a_gpu_worker_can_have(offered):
    nodes = [{"CPU": 8, "GPU": 2}, {"CPU": 64, "GPU": 4}]
    assert offered(nodes, decode_threads=32) == (6, 1, 4)
    assert offered(nodes, decode_threads=3) == (6, 1, 3)
    assert offered(nodes) == (6, 1, 4)


def test_without_gpus_the_workers_share_a_node(offered):
    assert offered([{"CPU": 8}], workers=2, decode_threads=32) == (2, 0, 4)


def test_gpus_that_are_yet_to_join_are_asked_for_with_what_every_node_has(offered):
    """A demand that no node can meet would bring none."""
    head = {"CPU": 8, "GPU": 0}
    assert offered([head], device="cuda") == offered([], device="cuda") == (1, 1, 1)
    assert offered([head], device="cuda", workers=16, decode_threads=6) == (16, 1, 1)
    assert offered([head, {"CPU": 8, "GPU": 1}], device="cuda", workers=16) == (16, 1, 8)


def test_a_worker_that_asked_for_less_has_its_share_of_the_node_all_the_same(monkeypatch):
    nodes = [{"NodeID": "big", "Resources": {"CPU": 64, "GPU": 4}}]
    nodes += [{"NodeID": "small", "Resources": {"CPU": 8, "GPU": 1}}, {"NodeID": "head", "Resources": {}}]
    monkeypatch.setattr(rooms.ray, "nodes", lambda: nodes)
    config = RunConfig(inputs=("/data",), out="/run")
    asked = (("small", 1, 1, 8), ("big", 1, 8, 16), ("small", 0, 3, 3), ("head", 1, 2, 2))
    for node, gpus, cpus, threads in asked:
        here = SimpleNamespace(get_node_id=lambda node=node: node)
        monkeypatch.setattr(rooms.ray, "get_runtime_context", lambda here=here: here)
        assert rooms.threads_here(config, gpus, cpus) == threads
    monkeypatch.setattr(rooms.ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "big"))
    assert rooms.threads_here(config.model_copy(update={"decode_threads": 3}), 1, 1) == 3
