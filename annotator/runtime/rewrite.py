"""The executor that needs no model: rows of another run under new thresholds, policies or calibration."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from annotator.config import RunConfig
from annotator.errors import ItemError
from annotator.people import Poses
from annotator.quality.remeasure import remeasured
from annotator.runtime.job import Base, Job, Progress, Report, ShardTask
from annotator.runtime.line import StageClock
from annotator.runtime.rows import Probabilities, visibility_policy
from annotator.store.commit import ShardWriter
from annotator.store.plan import read_plan
from annotator.store.reader import Run
from annotator.store.results import stored_results
from annotator.store.rows import RowBuilder


def run_rewrite(job: Job, tasks: Sequence[ShardTask], report: Report) -> None:
    """Carry out `tasks` from the rows of `job.base`; see `runtime.job.Executor`."""
    assert job.base is not None
    base, plan = Run(job.base.run_dir), read_plan(job.run_dir)
    skeleton = base.skeleton
    probable, policy = Probabilities(job, skeleton), visibility_policy(job.config, job.calibration)
    for task in tasks:
        started = time.time()
        began = time.perf_counter()
        items = {item.index: item for item in plan.items(task.shard)}
        rows, clock = RowBuilder(skeleton, policy, job.provenance), StageClock()
        for stored in stored_results(base, task.shard):
            result = stored.result
            if isinstance(result, Poses):
                result = remeasured(
                    probable(result),
                    kept_people(
                        job.config, job.base, np.arange(len(result)), result.bbox_scores, result.scores
                    ),
                    skeleton,
                    None if job.base.whole_image else job.provenance.pose_model.input_size,
                    nms=job.config.nms,
                    phantom_below=job.config.phantom_threshold,
                )
            rows.add(items[stored.index], stored.size, result)
            clock.images += 1
            clock.people += 0 if isinstance(result, ItemError) else len(result)
            clock.errors += isinstance(result, ItemError)
        seconds, images = time.perf_counter() - began, clock.images
        stats = {"started": started, "seconds": seconds, "images": images, "people": clock.people}
        writer = ShardWriter(job.run_dir, task.shard, task.generation)
        writer.commit(*rows.tables(), stats, may_be_empty=not items)
        report(Progress(task.shard, clock.images, clock.people, clock.errors, committed=True, stats=stats))


def kept_people(
    config: RunConfig, base: Base, person_index: np.ndarray, bbox_scores: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """Which people a run with these settings would have had, (N,) bool. Given boxes all stay.

    Args:
        person_index, bbox_scores, scores: (N,) each, columns of the rows.
    """
    if base.given_boxes:
        return np.ones(len(scores), bool)
    ranked = scores if base.whole_image else bbox_scores
    # The best come first, so those who are left are the first ones.
    return (ranked >= np.float32(config.detector_threshold)) & (person_index < config.max_people)
