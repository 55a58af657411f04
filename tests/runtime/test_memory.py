"""Memory of a worker is flat: files become committed rows, and it holds no more after many than after some.

`jobs/memory.py` (with networks) and `jobs/benchmark_film.py` (an hour of 1080p) measure it for longer.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotator.config import RunConfig
from annotator.models.sources import ModelSource
from annotator.people import Detections
from annotator.runtime.job import Job, ShardTask
from annotator.runtime.worker import ShardWorker
from annotator.sources.plan import build_plan
from annotator.store import run_info
from annotator.store.plan import write_plan
from annotator.store.schema import ModelRecord, Provenance
from annotator.synth import stream
from annotator.synth.film import frames, write_film
from jobs.benchmark_film import MadeUp

INPUTS, WARM, SHARD = 2000, 500, 50
SIZE = (160, 120)
LEAK = 20_000  # bytes an input, which would be 29 MiB after warming up
MOST = 15.0  # MiB


class TwoPeople(MadeUp):
    """Detector and pose estimator in one: the same two people everywhere, and `leak` bytes kept a picture."""

    def __init__(self, leak: int) -> None:
        self._leak = leak
        self._kept: list[bytes] = []

    def prepare(self, image: np.ndarray) -> np.ndarray:
        return cv2.resize(image, (80, 60))

    def detect(self, inputs: list[np.ndarray]) -> list[Detections]:
        self._kept += [b"1" * self._leak for _ in inputs]
        boxes, scores = np.array([[10.0, 20, 60, 110], [80, 20, 140, 100]]), np.array([0.9, 0.8], np.float32)
        return [Detections(boxes, scores) for _ in inputs]


def build(job: Job, threads: int | None) -> tuple[TwoPeople, TwoPeople]:
    """What `Job.models` names."""
    both = TwoPeople(leak=int(sys.argv[3]))
    return both, both


def resident() -> float:
    """MiB of memory that this process holds."""
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def write_inputs(kind: str, folder: Path) -> None:
    """`INPUTS` pictures that differ, or one film of as many frames."""
    folder.mkdir()
    if kind == "film":
        write_film(folder / "film.mp4", frames(7, 0, SIZE, INPUTS / 10, 10, quick=True), 10)
        return
    for index, pixels, _ in stream(7, count=INPUTS, size=SIZE, quick=True):
        cv2.imwrite(str(folder / f"{index:05d}.jpg"), pixels[..., ::-1])


def work(inputs: str, out: str) -> None:
    """Annotate `inputs` in this process; after each shard print how many are done and its memory."""
    plan = build_plan([inputs], shard_size=SHARD)
    assert len(plan) == INPUTS
    config = RunConfig(inputs=(inputs,), out=out, shard_size=SHARD, decode_threads=2)
    provenance = Provenance(ModelRecord("made-up"), None, None, config.sha256(), plan.sha256)
    about = run_info.RunInfo(config.model_dump(mode="json"), provenance, INPUTS, len(plan.shards))
    Path(out).mkdir()
    run_info.create(out, about)
    write_plan(plan, out)
    source = ModelSource("made-up", "pose", "", None, "random")
    worker = ShardWorker(Job(config, out, source, None, provenance, models=f"{__name__}:build"))
    images = 0
    for shard in plan.shards:
        task = ShardTask(shard)
        done = worker.run(task, lambda progress: None, intents=worker.attempt(task, f"attempt-{shard}"))
        assert done.committed and not done.errors and done.people == 2 * done.images
        images += done.images
        print(images, resident())
    assert images == INPUTS


def growth(inputs: Path, out: Path, leak: int = 0) -> float:
    """MiB by which a worker in a process of its own grew after the first `WARM` inputs, at most."""
    command = [sys.executable, __file__, str(inputs), str(out), str(leak)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    marks = [line.split() for line in done.stdout.splitlines()]
    warm = [float(mib) for images, mib in marks if int(images) >= WARM]
    return max(warm) - warm[0]


@pytest.mark.parametrize("kind", ["pictures", "film"])
def test_a_worker_holds_no_more_after_many_inputs(tmp_path, kind):
    write_inputs(kind, tmp_path / "inputs")
    without, leaking = tmp_path / "run", tmp_path / "leaking"
    assert growth(tmp_path / "inputs", without) < MOST < growth(tmp_path / "inputs", leaking, LEAK)


if __name__ == "__main__":
    work(*sys.argv[1:3])
