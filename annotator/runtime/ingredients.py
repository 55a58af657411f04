"""What a run is made with: its models, and the names and hashes of every file that decides its rows."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.config import RunConfig
from annotator.errors import UserError
from annotator.runtime.progress import Listener
from annotator.store.schema import FileRecord, ModelRecord, Provenance

if TYPE_CHECKING:
    from annotator.models.sources import ModelSource
    from annotator.sources.plan import Plan


def resolve_models(config: RunConfig, listener: Listener) -> tuple[ModelSource, ModelSource | None]:
    from annotator.models.sources import needs_boxes, resolve_detector, resolve_pose

    listener.stage("models ...")
    pose = resolve_pose(config.pose, config.pose_weights, config.weights_dir, progress=listener.download)
    if not needs_boxes(pose):
        if config.boxes is not None:
            raise UserError(
                f"--boxes: {pose.name} finds people by itself; leave them out, or take a top-down model"
            )
        return pose, None
    if config.boxes is not None or config.detector is None:
        return pose, None
    detector = resolve_detector(
        config.detector, config.detector_weights, config.weights_dir, progress=listener.download
    )
    return pose, detector


def resolve_second(config: RunConfig, pose: ModelSource, listener: Listener) -> ModelSource | None:
    """The second pose model, if one is asked for.

    Raises:
        UserError: one of the two finds people by itself, so that they have no boxes in common; or as
            `resolve_pose`.
    """
    from annotator.models.sources import needs_boxes, resolve_pose

    if config.second_pose is None:
        return None
    second = resolve_pose(
        config.second_pose, config.second_pose_weights, config.weights_dir, progress=listener.download
    )
    for source in (pose, second):
        if not needs_boxes(source):
            raise UserError(
                f"--second-pose: {source.name} finds people by itself; a second opinion is on the same "
                "boxes, so both must be top-down models"
            )
    return second


def make_provenance(
    config: RunConfig,
    plan: Plan,
    pose: ModelSource,
    detector: ModelSource | None,
    second: ModelSource | None = None,
) -> Provenance:
    boxes = None
    if config.boxes is not None:
        with Path(config.boxes).open("rb") as file:
            boxes = FileRecord(Path(config.boxes).name, hashlib.file_digest(file, "sha256").hexdigest())
    return Provenance(
        pose_model=_model_record(pose),
        detector=_model_record(detector) if detector else None,
        boxes=boxes,
        config_sha256=config.sha256(),
        plan_sha256=plan.sha256,
        calibration=calibration_record(config, pose),
        second_pose_model=_model_record(second) if second else None,
    )


def calibration_record(config: RunConfig, pose: ModelSource) -> FileRecord | None:
    """The calibration of a run, if it has one.

    Raises:
        UserError: it cannot be read, or is of another model.
    """
    from annotator.quality.calibration import read_calibration, sha256

    if config.calibration is None:
        return None
    read_calibration(config.calibration).check_model(pose.sha256)
    return FileRecord(Path(config.calibration).name, sha256(config.calibration))


def _model_record(source: ModelSource) -> ModelRecord:
    from annotator.models.openmmlab.configs import input_size, load_model_config

    size = input_size(load_model_config(source.config_path, source.kind))
    if source.weights_path is None:
        return ModelRecord(source.name, input_size=size, config_sha256=source.config_sha256)
    weights = Path(source.weights_path).name
    return ModelRecord(source.name, source.sha256, weights, size, source.config_sha256)
