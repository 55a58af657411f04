"""What a cluster offers the workers of a run: how many there are to be, and what each asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray

from annotator.config import RunConfig

# A worker decodes with no more threads than this unless it is told to.
MOST_CPUS = 16


def room(config: RunConfig) -> tuple[int, int, int]:
    """How many workers there is room for now, and the GPUs and CPUs that each asks for.

    One a GPU; without any, one a node. As many as `workers` says, if it says: those that find no place wait
    for a node to join, which is also what tells an autoscaler to bring one.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    with_gpus = [node for node in nodes if node.get("GPU", 0) >= 1]
    if config.device != "cpu" and (with_gpus or config.device.startswith("cuda")):
        # No node gives an actor more CPUs than it has, and nodes yet to join may have any number; a worker
        # starts its threads all the same.
        shares = [_share(config, node) for node in with_gpus]
        workers = config.workers or max(1, sum(int(node["GPU"]) for node in with_gpus))
        return workers, 1, min(shares, default=1)
    shares = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    workers = config.workers or max(1, len(shares))
    together = -(-workers // max(1, len(shares)))  # workers on one node
    return workers, 0, max(1, min(shares, default=1) // together)


def threads_here(config: RunConfig, gpus: int, cpus: int) -> int:
    """Threads of the worker in this process, which asked for so much: with a GPU, its share of the node.

    What it asked for may be less: it was said before any node was there to look at.
    """
    here = ray.get_runtime_context().get_node_id()
    node = next((node["Resources"] for node in ray.nodes() if node["NodeID"] == here), {})
    return max(cpus, _share(config, node)) if gpus and node.get("GPU", 0) >= 1 else cpus


def _share(config: RunConfig, node: Mapping[str, Any]) -> int:
    """CPUs for each worker on a node with GPUs, whose resources are as Ray lists them."""
    return max(1, min(config.decode_threads or MOST_CPUS, int(node.get("CPU", 1) // node["GPU"])))
