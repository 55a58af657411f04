"""A calibration from runs and their ground truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from annotator.errors import UserError
from annotator.quality.calibration import Calibration
from annotator.quality.fit import JointSample, Reliability, cross_validated, fit, reliability, sample_of
from annotator.quality.labelled import RIGHT, Labelled, label, list_column, posed_by_its_model
from annotator.quality.reviewed import reviewed
from annotator.quality.visibility import (
    VisibilitySample,
    cross_validated_visibility,
    fit_visibility,
    told_apart,
    visibility_sample,
)
from annotator.skeletons import Skeleton
from annotator.store.reader import Run
from annotator.store.visibility import Evidence, ScoreThresholds


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What came out.

    Attributes:
        calibration: fitted on everything.
        raw: how reliable the scores are as they are.
        held_out: how reliable probabilities are on images that were not used for the fit.
    """

    calibration: Calibration
    raw: Reliability
    held_out: Reliability


def calibrate(
    runs: Sequence[Run], gt_paths: Sequence[str | Path] | None, truth_of_visibility: bool = True
) -> Calibrated:
    """Fit on the matched people of some runs of one model; whom a cascade's second model posed is left out.

    Args:
        gt_paths: one COCO file a run; None: what reviewers accepted and corrected is the truth of joints.
        truth_of_visibility: v of the ground truth is to be believed: fit the policy `evidence` too.

    Raises:
        UserError: not one ground truth a run, runs of different models, too few labelled joints, or a v to be
            fitted that is the same everywhere.
    """
    if gt_paths is not None and len(runs) != len(gt_paths):
        raise UserError(f"{len(runs)} runs, but {len(gt_paths)} --gt: give one for each run, in their order")
    model, skeleton = runs[0].metadata["pose_model"], runs[0].skeleton
    samples, truths = [], []
    for run, gt_path in zip(runs, gt_paths or [None] * len(runs), strict=True):
        if run.metadata["pose_model"]["sha256"] != model["sha256"]:
            raise UserError(f"{run.place} is of another pose model than {runs[0].place}: calibrate apart")
        labelled = reviewed(run) if gt_path is None else label(run, gt_path)
        # Scores of another model mean something else.
        labelled = labelled.only(posed_by_its_model(run))
        truths.append(labelled)
        samples.append(sample_of(labelled, list_column(run, "keypoint_scores", len(skeleton))))
    sample = JointSample.together(samples)
    curves = fit(sample, skeleton)
    raw = reliability(sample.scores, sample.right)
    held_out = reliability(cross_validated(sample, skeleton), sample.right)
    about = {
        "runs": [run.place for run in runs],
        "ground_truth": "reviews" if gt_paths is None else [Path(path).name for path in gt_paths],
        "images": len(set(sample.images.tolist())),
        "people": sum(int(labelled.known.any(axis=1).sum()) for labelled in truths),
        "joints": len(sample),
        "right": float(sample.right.mean()),
        "right_means": f"joint OKS of at least {RIGHT} with the ground truth",
        "flip": runs[0].info.run_config.flip,
        "raw": _figures(raw),
        "held_out": _figures(held_out),
    }
    visibility = None
    if gt_paths is not None and truth_of_visibility:
        visibility = _visibility(runs, truths, gt_paths, skeleton)
        about["visibility"] = visibility.about
    named = {"name": model["name"], "sha256": model["sha256"]}
    return Calibrated(Calibration(skeleton.keypoints, curves, named, about, visibility), raw, held_out)


def _visibility(
    runs: Sequence[Run], truths: Sequence[Labelled], gt_paths: Sequence[str | Path], skeleton: Skeleton
) -> Evidence:
    """The policy, with what it finds on images that were not used for the fit beside the plain thresholds."""
    parts = [
        visibility_sample(run, labelled, ScoreThresholds())
        for run, labelled in zip(runs, truths, strict=True)
    ]
    sample = VisibilitySample.together(parts)
    if len(np.unique(sample.truth)) < 2:
        raise UserError(
            f"v is the same for all {sample.truth.size:,} joints of the people matched with "
            f"{', '.join(map(str, gt_paths))}: that tells nothing about visibility. Calibrate with "
            "--no-visibility"
        )
    about = {
        "fitted_on": [Path(path).name for path in gt_paths],
        "joints": int(sample.truth.size),
        "held_out": _told(cross_validated_visibility(sample, skeleton), sample.truth),
        "score_thresholds": _told(sample.baseline, sample.truth),
    }
    return fit_visibility(sample, skeleton, about)


def _told(v: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    found = told_apart(v, truth)
    return {
        name: {"precision": round(one.precision, 4), "recall": round(one.recall, 4), "joints": one.joints}
        for name, one in found.items()
    }


def _figures(one: Reliability) -> dict[str, Any]:
    return {"ece": one.ece, "auroc": None if math.isnan(one.auroc) else one.auroc}
