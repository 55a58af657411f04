"""The shard worker: plain Python that turns one shard of the plan into committed rows. It knows no Ray."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import asdict
from functools import partial
from importlib import import_module

import numpy as np
import pyarrow as pa

from annotator.errors import ItemError, RunFailed
from annotator.items import Item
from annotator.media import pulse
from annotator.media.feed import ImageFeed
from annotator.media.image import Image, ImageLimits
from annotator.models.estimator import Estimator
from annotator.people import Poses
from annotator.quality.signals import measured
from annotator.runtime import efficiency
from annotator.runtime.intents import IntentLog
from annotator.runtime.job import Job, Progress, ShardTask
from annotator.runtime.line import Decoded, Outcome, PersonDetector, StageClock, annotate
from annotator.runtime.rows import Probabilities, visibility_policy
from annotator.runtime.scheduling.blame import Care
from annotator.store.commit import ShardWriter
from annotator.store.generations import merge
from annotator.store.plan import read_plan
from annotator.store.reader import Run
from annotator.store.records import CommitRecord, CorruptRecordError, record_since
from annotator.store.results import stored_results
from annotator.store.rows import RowBuilder

# Failures of storage that often pass: a server that restarts, a lost connection.
_PASSING = (
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EAGAIN,
    errno.EBUSY,
    errno.ENOTCONN,
    errno.ECONNRESET,
)
COMMIT_PAUSES = (1.0, 5.0, 20.0, 60.0)

Heard = Callable[[Progress], None]


class ShardWorker:
    """Holds the models of one device and carries out shards.

    `run` may be called again from a second thread: that shard decodes ahead while the first has the models.

    Args:
        threads: CPUs to use, for decoding and by the models; None: all.
        overlapping: shards that may be under way at once; they share the memory for decoded pictures.

    Raises:
        UserError: when a model cannot be built from its configuration or weights, or the plan is damaged.
        OSError: the plan cannot be read now, or from this machine.
    """

    def __init__(self, job: Job, threads: int | None = None, overlapping: int = 1) -> None:
        config = job.config
        self._job = job
        self._plan = read_plan(job.run_dir)
        self._detector, self._pose = _load(job.models)(job, threads)
        self._passes = 0
        self._pose.on_batch = self._passed
        self._light = efficiency.measure(job, self._detector, self._pose)
        self._probable = Probabilities(job, self._pose.skeleton)
        self._policy = visibility_policy(config, job.calibration)
        self._base = None if job.base is None else Run(job.base.run_dir)
        self._models = threading.Lock()
        self._threads = config.decode_threads or threads or len(os.sched_getaffinity(0))
        self._max_ahead = max(1, config.prefetch_images // overlapping)
        self._max_bytes = (config.prefetch_mib << 20) // overlapping

    def run(
        self,
        task: ShardTask,
        report: Heard,
        care: Care = Care(),
        intents: IntentLog | None = None,
    ) -> Progress:
        """Annotate one shard and commit its rows, unless somebody else has committed it meanwhile.

        Args:
            report: hears of progress, from the calling thread.
            care: items to run alone, and items that are not to be run.
            intents: where to mark what is being worked on; closed once the shard is committed, by whomever.
                After an error its file stays, to tell what is to blame.

        Raises:
            RunFailed: the rows cannot be written, or those that a retry starts from stand no more.
            DeviceLostError: the models' device has failed for good.
        """
        with intents or nullcontext():
            return self._run(task, report, care, intents)

    def _run(self, task: ShardTask, report: Heard, care: Care, intents: IntentLog | None) -> Progress:
        standing = self._standing(task)
        if standing is not None and standing.generation >= task.generation:
            counts = standing.images, standing.people, sum(standing.errors.values())
            return Progress(task.shard, *counts, committed=True)
        if task.only is not None and (standing is None or standing.generation != task.generation - 1):
            # The rows of these items alone would be taken for the whole shard.
            raise RunFailed(
                f"the rows of shard {task.shard} of {self._job.run_dir} that the retry started from do not "
                "stand any more: they are damaged, or another driver put them aside for that. Retry again: "
                "that makes the shard whole"
            )
        items = self._plan.items(task.shard)
        may_be_empty = not items
        if task.only is not None:
            items = [item for item in items if item.index in task.only]
        clock, rows = StageClock(), RowBuilder(self._pose.skeleton, self._policy, self._job.provenance)
        settled = self._settled(task, items, care)
        for outcome in settled:
            clock.count(outcome)
            rows.add(outcome.item, outcome.size, outcome.result)
        done_with = {outcome.item.index for outcome in settled}
        items = [item for item in items if item.index not in done_with]
        began = time.monotonic()
        with ExitStack() as stack:
            batches = stack.enter_context(closing(self._feeds(stack, items, care, intents)))
            stack.enter_context(self._models)
            started, on_turn = time.time(), time.monotonic()
            for feed, batch_images in batches:
                around = partial(_in_models, intents)
                for outcome in annotate(
                    feed, self._detector, self._pose, batch_images, clock, around, self._judge
                ):
                    rows.add(outcome.item, outcome.size, outcome.result)
                    report(Progress(task.shard, clock.images, clock.people, clock.errors))
            # Before the other shard has the models.
            figures = efficiency.shard_figures(self._light, clock)
            figures |= self._pose.take_figures()
            seconds = time.monotonic() - on_turn
        writing = time.monotonic()
        stats = asdict(clock) | {
            "started": started,
            "ahead": on_turn - began,
            "seconds": seconds,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "suspects": len(care.suspects),
        }
        stats |= figures
        images, instances = rows.tables()
        if standing is not None:
            images, instances = merge(self._job.run_dir, standing, images, instances)

        def with_writing() -> dict:
            stats["write"] = time.monotonic() - writing
            return stats

        self._commit(task, images, instances, with_writing, may_be_empty)
        done = Progress(task.shard, clock.images, clock.people, clock.errors, committed=True, stats=stats)
        report(done)
        return done

    def attempt(self, task: ShardTask, name: str) -> IntentLog:
        """An intent log for an attempt at a shard."""
        items = self._plan.items(task.shard)
        # What was forgotten leaves gaps in the numbers, or a shard without items.
        first, size = (items[0].index, items[-1].index - items[0].index + 1) if items else (0, 0)
        return IntentLog(self._job.run_dir, name, first, size)

    @property
    def pulses(self) -> int:
        """Passes of the network, and packets of films read: it grows while one item takes long."""
        return self._passes + pulse.beats()

    def _passed(self) -> None:
        self._passes += 1

    def _judge(self, poses: Poses) -> Poses:
        config = self._job.config
        return measured(
            self._probable(poses),
            self._pose.skeleton,
            self._pose.input_size,
            nms=config.nms,
            phantom_below=config.phantom_threshold,
        )

    def _settled(self, task: ShardTask, items: Sequence[Item], care: Care) -> list[Outcome]:
        """What needs no work: items that are not to be run, and errors and empty images of the base run."""
        settled = {
            index: Outcome(item, None, care.condemned[index])
            for item in items
            if (index := item.index) in care.condemned
        }
        if self._base is not None:
            mine = {item.index: item for item in items if not item.boxes}
            for stored in stored_results(self._base, task.shard):
                if stored.index in mine:
                    result = stored.result
                    nobody = (
                        result if isinstance(result, ItemError) else result.of(np.zeros(len(result), bool))
                    )
                    settled[stored.index] = Outcome(mine[stored.index], stored.size, nobody)
        return list(settled.values())

    def _feeds(
        self, stack: ExitStack, items: Sequence[Item], care: Care, intents: IntentLog | None
    ) -> Generator[tuple[ImageFeed[Decoded], int]]:
        """Feeds and the size of their batches: suspects one by one with nothing beside them, then the others.

        Decoding begins at once where no suspect has to be waited for.
        """
        suspects = [item for item in items if item.index in care.suspects]
        others = [item for item in items if item.index not in care.suspects]
        ready = None if suspects else stack.enter_context(self._feed(others, self._threads, intents))
        return self._one_after_another(suspects, others, ready, intents)

    def _one_after_another(self, suspects, others, ready, intents):
        for item in suspects:
            with self._feed([item], 1, intents) as feed:
                yield feed, 1
        if ready is not None:
            yield ready, self._job.config.batch_images
            return
        with self._feed(others, self._threads, intents) as feed:
            yield feed, self._job.config.batch_images

    def _feed(self, items: Sequence[Item], threads: int, intents: IntentLog | None) -> ImageFeed[Decoded]:
        return ImageFeed(
            items,
            ImageLimits(max_pixels=self._job.config.max_pixels),
            threads=threads,
            max_ahead=self._max_ahead,
            max_bytes=self._max_bytes,
            prepare=partial(_decode, self._pose if self._pose.whole_image else self._detector),
            around=partial(_decoding, intents),
        )

    def _standing(self, task: ShardTask) -> CommitRecord | None:
        """What was committed of a shard so far: by somebody else, or what a retry starts from."""
        try:
            return record_since(self._job.run_dir, task.shard, task.generation - (task.only is not None))
        except (FileNotFoundError, CorruptRecordError):
            return None

    def _commit(
        self,
        task: ShardTask,
        images: pa.Table,
        instances: pa.Table,
        stats: Callable[[], dict],
        may_be_empty: bool,
    ) -> None:
        """Commit; failures of storage that may pass are tried again, as the rows took minutes to make."""
        for pause in (*COMMIT_PAUSES, None):
            try:
                writer = ShardWriter(self._job.run_dir, task.shard, task.generation)
                writer.commit(images, instances, stats, may_be_empty=may_be_empty)
                return
            except RunFailed as error:
                cause = error.__cause__
                if pause is None or not isinstance(cause, OSError) or cause.errno not in _PASSING:
                    raise
            time.sleep(pause)


def _load(path: str) -> Callable[[Job, int | None], tuple[PersonDetector | None, Estimator]]:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def _decode(first: PersonDetector | Estimator | None, image: Image) -> Decoded:
    """The second half of a decode thread's work: the input of the first network, made from the pixels."""
    return Decoded(image, None if first is None else first.prepare(image.pixels))


def _decoding(intents: IntentLog | None, item: Item) -> AbstractContextManager[object]:
    return nullcontext() if intents is None else intents.decoding(item.index)


def _in_models(intents: IntentLog | None, items: Sequence[Item]) -> AbstractContextManager[object]:
    return nullcontext() if intents is None else intents.in_models(item.index for item in items)
