"""An hour of 1080p through everything but the networks: memory over time, and how fast frames come.

    python jobs/benchmark_film.py FOLDER [--minutes 60] [--fps 2]

Makes the film in FOLDER by `annotator synth --quick` (12 frames a second of CPU: ten minutes for an hour with
2 frames a second), annotates it with a worker whose networks are made up (people who walk), follows them,
and prints memory every few minutes of film. At the end: memory after the first minute and at most, frames a
second of CPU, and the efficiency that this allows for a model that needs so many seconds a frame on the same
core:

    efficiency = seconds of the model / (seconds of the model + seconds of everything else)
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from annotator.config import RunConfig
from annotator.models.estimator import Estimator
from annotator.models.sources import ModelSource
from annotator.people import Detections, Poses
from annotator.runtime.job import Job, ShardTask
from annotator.runtime.worker import ShardWorker
from annotator.skeletons import COCO_17
from annotator.sources.plan import build_plan
from annotator.store import run_info
from annotator.store.leftovers import sweep
from annotator.store.plan import write_plan
from annotator.store.reader import Run
from annotator.store.schema import ModelRecord, Provenance
from annotator.synth.film import ANNOTATIONS, VIDEOS_DIR
from annotator.tracks.layer import follow_run

WIDTH, HEIGHT = 1920, 1080
# Seconds a frame of HRNet-W48 (384 x 288, flip test, one person) and RTMDet-m on one core, at the least.
MODEL_SECONDS = 1.0


def make_film(folder: Path, minutes: float, fps: float) -> Path:
    """The film of pasted people in `folder`, made if missing, by a process whose memory goes with it."""
    if not (folder / ANNOTATIONS).exists():  # written last
        what = ["--videos", "1", "--quick", "--size", f"{WIDTH}x{HEIGHT}"]
        what += ["--seconds", str(60 * minutes), "--fps", str(fps)]
        subprocess.run([sys.executable, "-m", "annotator.cli", "synth", str(folder), *what], check=True)
    return folder / VIDEOS_DIR / "00000000.mp4"


class MadeUp(Estimator):
    """Detector and pose estimator in one: the same walkers in every batch of frames."""

    skeleton = COCO_17
    people = 3
    _seen = 0

    def prepare(self, image: np.ndarray) -> np.ndarray:
        import cv2

        return cv2.resize(image, (640, 360))

    def detect(self, inputs: list[np.ndarray]) -> list[Detections]:
        found = []
        for _ in inputs:
            left = (200 + 500 * np.arange(self.people) + 6 * self._seen) % (WIDTH - 200)
            boxes = np.stack([left, left * 0 + 300, left + 200, left * 0 + 900], axis=1).astype(float)
            found.append(Detections(boxes, np.full(self.people, 0.9, np.float32)))
            self._seen += 1
        return found

    def estimate(self, images: list[np.ndarray], boxes: list[Detections]) -> list[Poses]:
        along = np.linspace(0.05, 0.95, len(COCO_17))[None, :, None]
        found = []
        for people in boxes:
            corner, side = people.bboxes[:, :2], people.bboxes[:, 2:] - people.bboxes[:, :2]
            keypoints = (corner[:, None] + along * side[:, None]).astype(np.float32)
            scores = np.full((len(people), len(COCO_17)), 0.8, np.float32)
            bboxes = np.concatenate([corner, side], axis=1)
            found.append(Poses(bboxes, people.scores, keypoints, scores, people.scores * np.float32(0.8)))
        return found


def build(job: Job, threads: int | None) -> tuple[MadeUp, MadeUp]:
    """What `Job.models` names."""
    both = MadeUp()
    return both, both


def memory_mib() -> float:
    """Resident memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    """Make, annotate, follow, measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--fps", type=float, default=2)
    options = parser.parse_args()
    film, out = make_film(options.folder, options.minutes, options.fps), options.folder / "run"
    print(f"{film}: {film.stat().st_size / 1e6:.0f} MB, {memory_mib():.0f} MiB resident")

    began = time.process_time()
    plan = build_plan([str(film)], shard_size=256)
    print(f"indexed and planned {len(plan):,} frames in {time.process_time() - began:.1f} s of CPU")
    config = RunConfig(inputs=(str(film),), out=str(out), executor="inline", decode_threads=1)
    provenance = Provenance(ModelRecord("made-up"), None, None, config.sha256(), plan.sha256)
    run_info.create(
        out, run_info.RunInfo(config.model_dump(mode="json"), provenance, len(plan), len(plan.shards))
    )
    write_plan(plan, out)
    source = ModelSource("made-up", "pose", "", None, "random")
    worker = ShardWorker(Job(config, str(out), source, None, provenance, models="jobs.benchmark_film:build"))

    began, marks, frames = time.process_time(), [], 0
    for shard in plan.shards:
        worker.run(ShardTask(shard), lambda progress: None)
        frames += len(plan.items(shard))
        marks.append((frames / options.fps / 60, memory_mib()))
        if len(marks) % 8 == 0:
            print(f"minute {marks[-1][0]:6.1f}: {marks[-1][1]:7.1f} MiB resident", flush=True)
    seconds = time.process_time() - began
    settled = [mib for minute, mib in marks if minute >= 1.0]
    first, most, last = settled[0], max(settled), settled[-1]
    print(f"resident after the first minute {first:.1f} MiB, at most {most:.1f}, at the end {last:.1f}")

    before, began = memory_mib(), time.process_time()
    follow_run(Run(out))
    sweep(out)
    spent = time.process_time() - began
    print(f"followed at {frames / spent:.0f} frames a second of CPU, {memory_mib() - before:+.1f} MiB")
    each = seconds / frames
    print(f"read, decoded, prepared, written: {1000 * each:.1f} ms of CPU a frame, {1 / each:.0f} frames/s")
    share = MODEL_SECONDS / (MODEL_SECONDS + each)
    print(f"efficiency for a model of {MODEL_SECONDS:.1f} s a frame: {share:.3f}")


if __name__ == "__main__":
    main()
