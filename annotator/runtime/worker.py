"""The shard worker: plain Python that turns one shard of the plan into committed rows. It knows no Ray."""

from __future__ import annotations

import os
import socket
import time
from contextlib import closing
from dataclasses import asdict
from functools import partial

from annotator.media.feed import ImageFeed
from annotator.media.image import Image, ImageLimits
from annotator.runtime.job import Job, Progress, Report
from annotator.runtime.line import Decoded, StageClock, annotate
from annotator.sources.plan import read_plan
from annotator.store.commit import ShardWriter
from annotator.store.rows import RowBuilder
from annotator.store.visibility import ScoreThresholds


class ShardWorker:
    """Holds the models of one device and carries out shards, one at a time.

    Raises:
        UserError: when a model cannot be built from its configuration or weights.
    """

    def __init__(self, job: Job) -> None:
        from annotator.models.detector import Detector
        from annotator.models.registry import build_estimator

        config = job.config
        self._job = job
        self._plan = read_plan(job.run_dir)
        device = choose_device(config.device)
        self.pose = build_estimator(
            job.pose,
            device=device,
            precision=config.precision,
            flip=config.flip,
            batch_people=config.batch_people,
        )
        self.detector = None
        if job.detector is not None:
            self.detector = Detector(
                job.detector,
                device=device,
                score_threshold=config.detector_threshold,
                max_people=config.max_people,
            )
        self._limits = ImageLimits(max_pixels=config.max_pixels)
        self._threads = config.decode_threads or max(1, len(os.sched_getaffinity(0)))

    def run(self, shard: int, report: Report) -> Progress:
        """Annotate one shard and commit its rows, unless somebody else has committed it meanwhile."""
        config, job = self._job.config, self._job
        started = time.time()
        clock = StageClock()
        rows = RowBuilder(
            self.pose.skeleton,
            ScoreThresholds(visible=config.visible_threshold, hidden=config.hidden_threshold),
            job.provenance,
        )
        feed = ImageFeed(
            self._plan.items(shard),
            self._limits,
            threads=self._threads,
            max_ahead=config.prefetch_images,
            max_bytes=config.prefetch_mib << 20,
            prepare=partial(_decode, self.detector),
        )
        with closing(feed):
            for outcome in annotate(feed, self.detector, self.pose, config.batch_images, clock):
                rows.add(outcome.item, outcome.size, outcome.result)
                report(Progress(shard, clock.images, clock.people, clock.errors))
        images, instances = rows.tables()
        stats = asdict(clock) | {
            "started": started,
            "seconds": time.time() - started,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        ShardWriter(job.run_dir, shard).commit(images, instances, stats)
        done = Progress(shard, clock.images, clock.people, clock.errors, committed=True)
        report(done)
        return done


def _decode(detector, image: Image) -> Decoded:
    """The second half of a decode thread's work: the detector's input, made from the pixels."""
    return Decoded(image, None if detector is None else detector.prepare(image.pixels))


def choose_device(name: str) -> str:
    """The torch device for "auto" or an explicit name.

    Raises:
        UserError: the named device is not there.
    """
    import torch

    from annotator.errors import UserError

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(
            f"device {name}: torch sees no CUDA device here; use --device cpu, or see `annotator doctor`"
        )
    return name
