"""The roofline of the main models on this machine: what its arithmetic and its memory allow at best.

    python jobs/roofline.py [--device cpu] [--threads 2] [--batch 32] [--results FILE.json]

Peaks are measured, not taken from a data sheet: large matrix products in fp32 and bf16, and copies of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from annotator.models.zoo import catalogue
from annotator.models.zoo.cost import known

MODELS = ("vitpose-h", "vitpose-l", "hrnet-w48-udp", "hrnet-w32", "rtmpose-l", "rtmpose-m", "rtmpose-t")


def best(call: Callable[[], object], device: str, seconds: float = 1.0) -> float:
    """Seconds of one call: of the fastest of as many turns as fit, on a GPU of ten calls each.

    A GPU takes calls faster than it carries them out: waiting for each one would count how long that takes.
    """
    gpu = device != "cpu"
    fastest, until = float("inf"), time.perf_counter() + seconds
    calls = 10 if gpu else 1
    call()
    while time.perf_counter() < until:
        if gpu:
            torch.cuda.synchronize(device)
        started = time.perf_counter()
        for _ in range(calls):
            call()
        if gpu:
            torch.cuda.synchronize(device)
        fastest = min(fastest, (time.perf_counter() - started) / calls)
    return fastest


def matmul_peak(dtype: torch.dtype, device: str) -> float:
    """FLOP a second of square matrix products, the best of three sizes."""
    found = 0.0
    for side in (1024, 2048, 1536) if device == "cpu" else (4096, 8192, 16384):
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        found = max(found, 2 * side**3 / best(lambda a=a, b=b: a @ b, device))
    return found


def bandwidth(device: str) -> float:
    """Bytes a second of copies beyond every cache, reads and writes."""
    source = torch.empty(256 << 20 if device == "cpu" else 2 << 30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / best(lambda: target.copy_(source), device)


def main() -> None:
    """Print the peaks, and for each model what bounds it, as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--results", type=Path, help="of `annotator bench --json-file`: what was reached")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    peaks = {
        name: matmul_peak(dtype, given.device)
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
    }
    memory = bandwidth(given.device)
    name = f"{given.threads} threads" if given.device == "cpu" else torch.cuda.get_device_name(given.device)
    print(
        f"{name}: fp32 {peaks['fp32'] / 1e9:.0f} GFLOP/s, "
        f"bf16 {peaks['bf16'] / 1e9:.0f} GFLOP/s, "
        f"memory {memory / 1e9:.1f} GB/s\n"
    )
    print(f"| model | GFLOP a crop | FLOP a byte, batch {given.batch} | at best fp32 | bf16 | bound by |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in MODELS:
        cost = known(catalogue.find_pose(name))
        if cost is None or cost.macs is None or cost.activations is None:
            continue
        flop = 2.0 * (cost.macs + (cost.attention_macs or 0))
        # Weights once a batch; activations written and read once. Less than what eager execution moves.
        moved = 4.0 * cost.params / given.batch + 2.0 * cost.activations
        rates, bound = [], "arithmetic"
        for precision, share in (("fp32", 1.0), ("bf16", 0.5)):
            by_arithmetic, by_memory = flop / peaks[precision], moved * share / memory
            rates.append(f"{1 / max(by_arithmetic, by_memory):.1f} people/s")
            if by_memory > by_arithmetic:
                bound = f"memory in {precision}"
        print(f"| {name} | {flop / 1e9:.1f} | {flop / moved:.0f} | {rates[0]} | {rates[1]} | {bound} |")
    if given.results is not None:
        print_reached(json.loads(given.results.read_text()), peaks)


def print_reached(results: list[dict[str, Any]], peaks: dict[str, float]) -> None:
    """How near pose networks came to the peak of arithmetic: alone, on tensors in memory.

    Args:
        results: of `annotator bench`; those with a detector and those of unknown cost are left out.
        peaks: FLOP a second by precision.
    """
    print("\n| model | engine | people/s, network alone | GFLOP/s | of the peak |")
    print("| --- | --- | --- | --- | --- |")
    for result in results:
        chosen = result["settings"]
        if chosen["detector_engine"] or chosen["pose_gflop_a_person"] is None:
            continue
        rate = result["limit_people_per_second"]
        reached, peak = rate * chosen["pose_gflop_a_person"], peaks.get(chosen["precision"])
        share = "-" if peak is None else f"{1e9 * reached / peak:.0%}"
        name = result["model"] + (", flip" if chosen["flip"] else "")
        engine = f"{chosen['engine']} {chosen['precision']}"
        print(f"| {name} | {engine} | {rate:.2f} | {reached:.0f} | {share} |")


if __name__ == "__main__":
    main()
