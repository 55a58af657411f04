"""How many workers a cluster has room for, and what each asks for: never what no node can give."""

from __future__ import annotations

import pytest

from annotator.config import RunConfig
from annotator.models.sources import ModelSource
from annotator.runtime.job import Job
from annotator.runtime.ray import executor
from annotator.store.schema import ModelRecord, Provenance


@pytest.fixture
def offered(monkeypatch):
    """`offered(nodes, **settings)`: workers, GPUs and CPUs on nodes of such resources."""

    def room(nodes: list[dict[str, float]], **settings) -> tuple[int, int, int]:
        config = RunConfig(inputs=("/data",), out="/run", **settings)
        provenance = Provenance(ModelRecord("fake"), None, None, "01" * 32, "23" * 32)
        job = Job(config, "/run", ModelSource("fake", "pose", "", None, "random"), None, provenance)
        monkeypatch.setattr(
            executor.ray, "nodes", lambda: [{"Alive": True, "Resources": node} for node in nodes]
        )
        return executor.room(job)

    return room


def test_decode_threads_never_ask_for_more_cpus_than_a_gpu_worker_can_have(offered):
    nodes = [{"CPU": 8, "GPU": 2}, {"CPU": 64, "GPU": 4}]
    assert offered(nodes, decode_threads=32) == (6, 1, 4)
    assert offered(nodes, decode_threads=3) == (6, 1, 3)
    assert offered(nodes) == (6, 1, 4)


def test_without_gpus_the_workers_share_a_node(offered):
    assert offered([{"CPU": 8}], workers=2, decode_threads=32) == (2, 0, 4)
