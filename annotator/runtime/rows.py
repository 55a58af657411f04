"""What a job makes of poses beside its models: probabilities of their joints, and v."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from annotator.config import RunConfig
from annotator.errors import UserError
from annotator.people import Poses
from annotator.quality.calibration import Calibration
from annotator.runtime.job import Job
from annotator.skeletons import Skeleton
from annotator.store.visibility import Evidence, ScoreThresholds, VisibilityPolicy


class Probabilities:
    """Gives poses the calibrated probabilities of their joints, if the job has a calibration.

    Raises:
        UserError: the calibration is of another model or skeleton.
    """

    def __init__(self, job: Job, skeleton: Skeleton) -> None:
        self._model = job.provenance.pose_model
        self._calibration = job.calibration
        if self._calibration is not None:
            self._calibration.check(skeleton, self._model.sha256)

    def __call__(self, poses: Poses) -> Poses:
        if self._calibration is None:
            return poses
        probs = self._calibration(poses.keypoint_scores)
        if poses.posed_by is not None:
            # Scores of another model mean something else.
            probs[poses.posed_by != self._model.name] = np.nan
        return replace(poses, keypoint_probs=probs)


@dataclass(frozen=True, slots=True)
class _OfOneModel:
    """In a cascade, the policy for those whom its model posed, and another for the other model's people.

    These are who have no calibrated probabilities: `Probabilities` comes before.
    """

    policy: Evidence
    others: ScoreThresholds

    def __call__(self, poses: Poses, width: int, height: int) -> np.ndarray:
        assert poses.keypoint_probs is not None
        v, others = self.policy(poses, width, height), np.isnan(poses.keypoint_probs).any(axis=1)
        v[others] = self.others(poses, width, height)[others]
        return v

    def to_dict(self) -> dict[str, Any]:
        return {**self.policy.to_dict(), "posed_by_another_model": self.others.to_dict()}


def visibility_policy(config: RunConfig, calibration: Calibration | None) -> VisibilityPolicy:
    """The policy that the settings name; "auto" is `evidence` where the calibration has it.

    Raises:
        UserError: `evidence` without a calibration that has it.
    """
    thresholds = ScoreThresholds(visible=config.visible_threshold, hidden=config.hidden_threshold)
    if config.visibility != "score-thresholds" and calibration is not None:
        policy = calibration.visibility
        if policy is not None:
            return _OfOneModel(policy, thresholds) if config.cascade else policy
    if config.visibility == "evidence":
        raise UserError(
            "--visibility evidence needs weights of this model: fit them with `annotator calibrate` on a run "
            "of it, and name the file with --calibration"
        )
    return thresholds
