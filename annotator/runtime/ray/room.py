"""What a cluster offers the workers of a run: how many there are to be, and what each asks for."""

from __future__ import annotations

from collections.abc import Mapping

import ray

from annotator.config import RunConfig

# A worker with a GPU decodes with no more threads than this unless it is told to.
MOST_CPUS = 16


def room(config: RunConfig) -> tuple[int, int, int]:
    """How many workers there is room for now, and the GPUs and CPUs that each asks for.

    One a GPU; without any, one a node. As many as `workers` says, if it says: those that find no place wait
    for a node to join, which is also what tells an autoscaler to bring one.
    """
    nodes = _nodes()
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    if config.device != "cpu" and (gpus or config.device.startswith("cuda")):
        # Nodes yet to join may have any number of CPUs; one they all have.
        return config.workers or max(1, gpus), 1, 1
    return _room_on_cpus(config, nodes)


def threads_here(config: RunConfig, gpus: int, cpus: int) -> int:
    """Threads of the worker in this process, which asked for so much: its share of the node.

    What it asked for may be less: it was said before any node was there to look at.
    """
    if not gpus:
        return max(cpus, _room_on_cpus(config, _nodes())[2])
    here = ray.get_runtime_context().get_node_id()
    node = next(node["Resources"] for node in ray.nodes() if node["NodeID"] == here)
    return max(1, min(config.decode_threads or MOST_CPUS, int(node.get("CPU", 1) // node["GPU"])))


def _nodes() -> list[Mapping[str, float]]:
    """Resources of the nodes that live."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _room_on_cpus(config: RunConfig, nodes: list[Mapping[str, float]]) -> tuple[int, int, int]:
    """`room` for workers that share the nodes evenly."""
    cpus = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    workers = config.workers or max(1, len(cpus))
    together = -(-workers // max(1, len(cpus)))  # workers on one node
    return workers, 0, max(1, min(cpus, default=1) // together)
