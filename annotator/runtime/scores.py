"""Models whose scores are never low: what thresholds do not tell of them is said when a run begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from annotator.runtime.job import Job

if TYPE_CHECKING:
    from annotator.models.sources import ModelSource

_REMEDIES = {
    0.5: "on its scale the defaults are "
    "--set visible_threshold=0.8 --set hidden_threshold=0.55 --set phantom_threshold=0.55",
    1.0: "--set phantom_threshold=0.65 flags those whose box scores below 0.3, and `annotator calibrate` "
    "fits v to labelled people",
}

# A mean so near to the least score is hardly ever seen.
_NEAR = 0.1


def warnings(job: Job) -> list[str]:
    """What the settings of a job leave unjudged: a line for each model whose scores never fall so low.

    Another one where the choice of a cascade is left unjudged.
    """
    config, said = job.config, []
    for source in (job.pose, job.second if config.cascade else None):
        # Rows that are only rewritten have no config at hand.
        least = _least_score_of(source) if source is not None and source.config_path else 0.0
        if source is None or not least:
            continue
        unjudged = []
        if least >= config.visible_threshold and not (source is job.pose and _has_evidence(job)):
            unjudged.append("every joint inside the image gets v = 2")
        if (least + config.detector_threshold) / 2 >= config.phantom_threshold:
            unjudged.append("nobody is taken for a phantom")
        if unjudged:
            said.append(
                f"warning: {source.name} gives no joint a score below {least:g}, so "
                f"{' and '.join(unjudged)}; {_REMEDIES[least]} (docs/quality.md)"
            )
        unsure = source is job.pose and config.cascade and not _flips(source, config.flip)
        if unsure and config.cascade_pose_score <= least + _NEAR:
            said.append(
                f"warning: {source.name} gives no joint a score below {least:g}, so that by "
                f"cascade_pose_score={config.cascade_pose_score:g} the cascade is sure of nearly everybody; "
                "docs/second-opinion.md says what to set"
            )
    return said


def least_score(head: Mapping[str, Any]) -> float:
    """What every joint scores at least, whatever the network sees; 0 for models whose scores can be low.

    0.5 for Megvii's heatmaps (MSPN, RSN), 1 for coordinates without a sigma (DeepPose, integral, DSNT).

    Args:
        head: of the model's config.
    """
    from annotator.models.openmmlab.configs import type_name

    codec = head.get("decoder")
    if not codec:
        return 0.0
    # Multi-stage models have a list, of which the last one counts.
    kind = type_name(codec if isinstance(codec, Mapping) else codec[-1])
    if kind == "MegviiHeatmap":
        return 0.5
    coordinates = kind in ("RegressionLabel", "IntegralRegressionLabel")
    return 1.0 if coordinates and type_name(head) != "RLEHead" else 0.0


def _flips(source: ModelSource, asked: bool | None) -> bool:
    """Whether there is a flip test, whose two poses tell of whom the model is not sure."""
    from annotator.models.openmmlab.configs import load_model_config

    if asked is not None:
        return asked
    model = load_model_config(source.config_path, source.kind).model
    return bool((model.get("test_cfg") or {}).get("flip_test", False))


def _least_score_of(source: ModelSource) -> float:
    from annotator.models.openmmlab.configs import load_model_config

    return least_score(load_model_config(source.config_path, "pose").model.get("head") or {})


def _has_evidence(job: Job) -> bool:
    """Whether v of the pose model's people is decided by a calibration instead of thresholds."""
    calibration = job.calibration
    return (
        job.config.visibility != "score-thresholds"
        and calibration is not None
        and (calibration.visibility is not None)
    )
