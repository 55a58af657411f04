"""A Ray cluster of several nodes on this machine, in a process of its own that takes orders from a pipe.

Lines in: `add` a node, `remove N` kills it at once, `ports` says where nodes serve their metrics, `quit`. One
line of answer each, after the address.
"""

from __future__ import annotations

import contextlib
import sys

from ray.cluster_utils import Cluster


def main(nodes: int) -> None:
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "num_gpus": 0, "include_dashboard": False},
    )

    def add():
        # The agents of a node have 15 s to listen, which a busy machine may need more than once.
        for _ in range(2):
            with contextlib.suppress(Exception):
                return cluster.add_node(num_cpus=1, num_gpus=1)
        return cluster.add_node(num_cpus=1, num_gpus=1)

    added = [add() for _ in range(nodes)]
    print(cluster.address, flush=True)
    for line in sys.stdin:
        order, _, number = line.strip().partition(" ")
        if order == "add":
            added.append(add())
            print(len(added) - 1, flush=True)
        elif order == "remove":
            cluster.remove_node(added[int(number)], allow_graceful=False)
            print("removed", flush=True)
        elif order == "ports":
            print(*(node.metrics_export_port for node in cluster.list_all_nodes()), flush=True)
        elif order == "quit":
            break
    cluster.shutdown()
    print("down", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
