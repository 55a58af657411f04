"""A calibration from runs and their ground truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotator.errors import UserError
from annotator.quality.calibration import Calibration
from annotator.quality.fit import JointSample, Reliability, cross_validated, fit, reliability, sample_of
from annotator.quality.labelled import RIGHT, label, lists
from annotator.store.reader import Run


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


def calibrate(runs: Sequence[Run], gt_paths: Sequence[str | Path]) -> Calibrated:
    """Fit on the matched people of some runs of one model.

    Raises:
        UserError: not one ground truth a run, runs of different models, or too few labelled joints.
    """
    if len(runs) != len(gt_paths):
        raise UserError(f"{len(runs)} runs, but {len(gt_paths)} --gt: give one for each run, in their order")
    model, skeleton = runs[0].metadata["pose_model"], runs[0].skeleton
    samples, people = [], 0
    for run, gt_path in zip(runs, gt_paths, strict=True):
        if run.metadata["pose_model"]["sha256"] != model["sha256"]:
            raise UserError(f"{run.path} is of another pose model than {runs[0].path}: calibrate each alone")
        labelled = label(run, gt_path)
        people += int(labelled.known.any(axis=1).sum())
        samples.append(sample_of(labelled, lists(run, "keypoint_scores", len(skeleton))))
    sample = JointSample.together(samples)
    curves = fit(sample, skeleton)
    raw = reliability(sample.scores, sample.right)
    held_out = reliability(cross_validated(sample, skeleton), sample.right)
    about = {
        "runs": [str(run.path) for run in runs],
        "ground_truth": [Path(path).name for path in gt_paths],
        "images": len(set(sample.images.tolist())),
        "people": people,
        "joints": len(sample),
        "right": float(sample.right.mean()),
        "right_means": f"joint OKS of at least {RIGHT} with the ground truth",
        "flip": runs[0].info.run_config.flip,
        "raw": _figures(raw),
        "held_out": _figures(held_out),
    }
    named = {"name": model["name"], "sha256": model["sha256"]}
    return Calibrated(Calibration(skeleton.keypoints, curves, named, about), raw, held_out)


def _figures(one: Reliability) -> dict[str, Any]:
    return {"ece": one.ece, "auroc": None if math.isnan(one.auroc) else one.auroc}
