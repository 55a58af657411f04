"""CPU seconds that the signals take in a pass of a top-down model, beside what the pass takes without them.

    python jobs/signal_cost.py CONFIG.py WEIGHTS.pth [--people 32] [--passes 10]

Entropy, and decoding both halves of the flip test, happen in the pass; the other signals once an image
(`signals` in the commit records' stats). Process time, not wall time: other work on the machine does not
count.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from annotator.models.engines.outputs import split
from annotator.models.sources import resolve_pose
from annotator.models.topdown import TopDown
from annotator.people import Poses
from annotator.quality.signals import measure


def seconds(work: Callable[[], object], passes: int) -> float:
    """Median process time of a call."""
    work()
    spent = []
    for _ in range(passes):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return float(np.median(spent))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("config")
    parser.add_argument("weights")
    parser.add_argument("--people", type=int, default=32)
    parser.add_argument("--passes", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = TopDown(resolve_pose(options.config, options.weights, None), flip=True)
    width, height = model.input_size
    generator = torch.Generator().manual_seed(0)
    crops = torch.randint(0, 256, (options.people, height, width, 3), dtype=torch.uint8, generator=generator)
    with torch.inference_mode():
        outputs = model.engine(crops, mirror=True)
        network = seconds(lambda: model.engine(crops, mirror=True), options.passes)
        bare = seconds(lambda: model.decode(*split(outputs, len(crops))), options.passes)
        whole = seconds(lambda: model._decoded(outputs, len(crops)), options.passes)
        points, scores, entropies = (part.numpy() for part in model._decoded(outputs, len(crops)))
    people = Poses(
        np.random.default_rng(0).uniform(50, 300, (options.people, 4)),
        np.ones(options.people, np.float32),
        points[:, 0],
        scores,
        scores.mean(axis=1),
        keypoint_entropies=entropies,
        halves=points[:, 1:],
    )
    judged = seconds(lambda: measure(people, model.skeleton, model.input_size), options.passes)
    added = whole - bare + judged
    for name, value in (
        ("network, flip test included", network),
        ("decoding without signals", bare),
        ("decoding with entropy and both halves", whole),
        ("all other signals, everybody in one image", judged),
    ):
        print(f"{name:<44}{1e3 * value / options.people:9.3f} ms a person")
    print(f"{'signals add':<44}{added / (network + bare):9.1%} of the pass without them")


if __name__ == "__main__":
    main()
