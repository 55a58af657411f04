"""What the settings of a job make of poses: probabilities of their joints, and rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from annotator.people import Poses
from annotator.quality.calibration import read_calibration
from annotator.runtime.job import Job
from annotator.skeletons import Skeleton
from annotator.store.rows import RowBuilder
from annotator.store.visibility import ScoreThresholds


class Probabilities:
    """Gives poses the calibrated probabilities of their joints, if the job has a calibration.

    Raises:
        UserError: the calibration cannot be read, or is of another model or skeleton.
    """

    def __init__(self, job: Job, skeleton: Skeleton) -> None:
        self._model = job.provenance.pose_model
        self._calibration = None
        if job.config.calibration is not None:
            self._calibration = read_calibration(job.config.calibration)
            self._calibration.check(skeleton, self._model.sha256)

    def __call__(self, poses: Poses) -> Poses:
        if self._calibration is None:
            return poses
        probs = self._calibration(poses.keypoint_scores)
        if poses.posed_by is not None:
            # Scores of another model mean something else.
            probs[poses.posed_by != self._model.name] = np.nan
        return replace(poses, keypoint_probs=probs)


def row_builder(job: Job, skeleton: Skeleton) -> RowBuilder:
    """For the rows of one shard, with the visibility policy and provenance of the job."""
    config = job.config
    policy = ScoreThresholds(visible=config.visible_threshold, hidden=config.hidden_threshold)
    return RowBuilder(skeleton, policy, job.provenance)
