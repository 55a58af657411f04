"""The shard worker with cheap models: suspects alone, the condemned not at all, two shards overlapping."""

from __future__ import annotations

import errno
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from annotator.config import RunConfig
from annotator.errors import ItemError, RunFailed
from annotator.media import pulse
from annotator.models.estimator import Estimator
from annotator.models.sources import ModelSource
from annotator.people import Detections, Poses
from annotator.quality.calibration import Calibration
from annotator.runtime.intents import folder, in_flight
from annotator.runtime.job import Job, ShardTask
from annotator.runtime.line import DeviceLostError
from annotator.runtime.scheduling.blame import Care
from annotator.runtime.worker import ShardWorker
from annotator.skeletons import COCO_17
from annotator.sources.plan import build_plan
from annotator.store import run_info
from annotator.store.plan import write_plan
from annotator.store.reader import Run
from annotator.store.records import generations, record_name
from annotator.store.schema import ModelRecord, Provenance


class Models(Estimator):
    """One person in every picture; what the detector was given, and what it should do, can be set."""

    skeleton = COCO_17

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.act = lambda: None

    def prepare(self, image):
        return image

    def detect(self, inputs):
        self.batches.append(len(inputs))
        self.act()
        return [Detections(np.array([[1.0, 2, 9, 9]]), np.array([0.9], np.float32)) for _ in inputs]

    def estimate(self, images, boxes):
        self.on_batch()
        joints = len(COCO_17)
        return [
            Poses(
                np.array([[1.0, 2, 8, 7]]),
                np.array([0.9], np.float32),
                np.full((1, joints, 2), 5, np.float32),
                np.full((1, joints), 0.8, np.float32),
                np.array([0.7], np.float32),
            )
            for _ in images
        ]


@pytest.fixture
def models(monkeypatch) -> Models:
    made = Models()
    module = ModuleType("models_of_this_test")
    module.build = lambda job, threads: (made, made)  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return made


@pytest.fixture
def job(tmp_path, models) -> Job:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(20):
        cv2.imwrite(str(pictures / f"{number:02d}.png"), np.zeros((12, 16, 3), np.uint8))
    run = tmp_path / "run"
    run.mkdir()
    plan = build_plan([str(pictures)], shard_size=10)
    config = RunConfig(inputs=(str(pictures),), out=str(run), batch_images=4, shard_size=10, decode_threads=2)
    provenance = Provenance(ModelRecord("m"), None, None, config.sha256(), plan.sha256)
    run_info.create(run, run_info.RunInfo(config.model_dump(mode="json"), provenance, 20, 2))
    write_plan(plan, run)
    source = ModelSource("m", "pose", "", None, "random")
    return Job(config, str(run), source, None, provenance, models="models_of_this_test:build")


def ignore(progress):
    """Nobody listens."""


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def images(job):
    return [row for batch in Run(job.run_dir).images() for row in batch.to_pylist()]


def test_suspects_run_alone_and_the_condemned_not_at_all(job, models):
    worker = ShardWorker(job)
    task = ShardTask(0)
    care = Care(frozenset({3, 7}), {5: ItemError("worker", "crashed", "2 workers died on it")})
    done = worker.run(task, ignore, care, worker.attempt(task, "a"))
    assert models.batches == [1, 1, 4, 3]
    assert (done.images, done.errors, done.committed) == (10, 1, True)
    rows = images(job)
    assert [row["index"] for row in rows] == list(range(10))
    assert [row["error_kind"] for row in rows if row["status"] == "error"] == ["crashed"]
    assert rows[5]["error_stage"] == "worker"


def test_intents_name_what_the_models_have(job, models):
    worker = ShardWorker(job)
    seen = []
    models.act = lambda: seen.append(in_flight(job.run_dir, "a").in_models)
    task = ShardTask(1)
    worker.run(task, ignore, Care(), worker.attempt(task, "a"))
    assert seen == [(10, 11, 12, 13), (14, 15, 16, 17), (18, 19)]
    assert len(in_flight(job.run_dir, "a")) == 0


def test_a_worker_that_reads_a_film_shows_a_pulse(job):
    worker = ShardWorker(job)
    before = worker.pulses
    pulse.beat()
    assert worker.pulses > before


def test_passes_of_the_network_are_a_pulse(job):
    worker = ShardWorker(job)
    before = worker.pulses
    worker.run(ShardTask(1), ignore)
    assert worker.pulses > before


@pytest.mark.parametrize("suspects", [frozenset(), frozenset({0})])
def test_a_lost_device_ends_the_attempt_and_keeps_its_intents(job, models, suspects):
    """Their descriptor is closed, by when no thread that decodes may write to it any more."""
    worker = ShardWorker(replace(job, config=job.config.model_copy(update={"prefetch_images": 2})))

    def lose():
        if models.batches[-1] > 1:
            raise RuntimeError("CUDA error: device-side assert triggered")

    models.act = lose
    task = ShardTask(0)
    before = open_files()
    with pytest.raises(DeviceLostError) as raised:
        worker.run(task, ignore, Care(suspects), worker.attempt(task, "a"))
    assert open_files() == before
    # As long as the error is kept, so are the frames that it came through.
    assert raised and not [one for one in threading.enumerate() if one.name.startswith("decode")]
    assert set(in_flight(job.run_dir, "a").in_models) == {n + len(suspects) for n in range(4)}
    assert not Run(job.run_dir).committed()


def test_a_shard_that_somebody_else_committed_is_not_made_again(job, models):
    ShardWorker(job).run(ShardTask(0), ignore)
    models.batches.clear()
    worker = ShardWorker(job)
    log = worker.attempt(ShardTask(0), "late")
    before = open_files()
    done = worker.run(ShardTask(0), ignore, Care(), log)
    assert open_files() == before - 1
    assert not list(folder(job.run_dir).glob("*.intent"))
    assert models.batches == []
    assert (done.images, done.people, done.committed) == (10, 10, True)


def test_the_second_shard_decodes_while_the_first_has_the_models(job, models):
    worker = ShardWorker(job, overlapping=2)
    entered, go_on = threading.Event(), threading.Event()

    def hold():
        entered.set()
        assert go_on.wait(60)

    models.act = hold
    logs = [worker.attempt(ShardTask(shard), f"a{shard}") for shard in (0, 1)]
    first = threading.Thread(target=worker.run, args=(ShardTask(0), ignore, Care(), logs[0]))
    first.start()
    assert entered.wait(60)
    second = threading.Thread(target=worker.run, args=(ShardTask(1), ignore, Care(), logs[1]))
    second.start()
    while logs[1].marks < 20:  # all ten of it decoded
        assert second.is_alive()
    assert len(models.batches) == 1
    go_on.set()
    first.join()
    second.join()
    assert len(images(job)) == 20


def test_a_retry_runs_only_what_it_is_told(job, models):
    worker = ShardWorker(job)
    bad = Care(condemned={2: ItemError("worker", "hung", "x"), 8: ItemError("worker", "hung", "x")})
    worker.run(ShardTask(0), ignore, bad)
    models.batches.clear()
    done = worker.run(ShardTask(0, 1, frozenset({2, 8})), ignore)
    assert models.batches == [2]
    assert (done.images, done.errors) == (2, 0)
    assert [row["status"] for row in images(job)] == ["ok"] * 10


def test_a_plan_that_cannot_be_read_any_more_costs_no_rows_that_are_made(job, models, monkeypatch):
    def stale(*_):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    worker = ShardWorker(job)
    models.act = lambda: monkeypatch.setattr(worker._plan, "items", stale)
    assert worker.run(ShardTask(0), ignore).committed
    assert len(images(job)) == 10


@pytest.mark.parametrize("damage", ["put aside", "torn", "made anew"])
def test_a_retry_whose_rows_do_not_stand_any_more_commits_nothing(job, models, damage):
    """Another driver found the shard damaged meanwhile: what was retried is not all of it."""
    worker = ShardWorker(job)
    bad = Care(condemned={2: ItemError("worker", "hung", "x"), 8: ItemError("worker", "hung", "x")})
    worker.run(ShardTask(0), ignore, bad)
    retried = ShardTask(0, 1, frozenset({2, 8}))
    record = Path(job.run_dir) / record_name(0)
    if damage == "put aside":
        record.rename(record.with_name(".s000000-0123456789abcdef.corrupt"))
    elif damage == "torn":
        record.write_bytes(b"{")
    else:
        worker.run(retried, ignore)
        # Of a later retry: both generations were put aside, and the shard made anew.
        (Path(job.run_dir) / record_name(0, 1)).unlink()
        retried = ShardTask(0, 2, frozenset({2}))
    models.batches.clear()
    with pytest.raises(RunFailed, match=r"shard 0 .* do not stand any more.* Retry again"):
        worker.run(retried, ignore)
    assert models.batches == []
    assert generations(job.run_dir) == ({} if damage == "put aside" else {0: [0]})

    # The driver that found it makes the shard anew; then a retry has whole rows to start from.
    worker.run(ShardTask(0), ignore, bad)
    worker.run(ShardTask(0, 1, frozenset({2, 8})), ignore)
    assert [row["status"] for row in images(job)] == ["ok"] * 10


def test_all_shards_have_the_calibration_that_the_start_read(job, models):
    """Whatever becomes of its file: the rows name the hash of what was read."""
    curve = (np.array([0.0, 1.0]), np.array([0.5, 1.0]))
    read = Calibration(COCO_17.keypoints, (curve,) * 17, {"name": "m", "sha256": None}, {})
    gone = job.config.model_copy(update={"calibration": str(Path(job.run_dir) / "gone.json")})
    worker = ShardWorker(replace(job, config=gone, calibration=read))
    for shard in (0, 1):
        worker.run(ShardTask(shard), ignore)
    probs = [row for batch in Run(job.run_dir).instances(["keypoint_probs"]) for row in batch.to_pylist()]
    assert len(probs) == 20 and all(row["keypoint_probs"] == [pytest.approx(0.9)] * 17 for row in probs)
