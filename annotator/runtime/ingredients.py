"""What a run is made with: its models, and the names and hashes of every file that decides its rows."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.config import RunConfig
from annotator.errors import UserError
from annotator.runtime.progress import Listener
from annotator.store.schema import FileRecord, ModelRecord, Provenance
from annotator.uris import to_path, to_uri

if TYPE_CHECKING:
    from annotator.models.sources import ModelSource
    from annotator.quality.calibration import Calibration
    from annotator.store.plan import Plan


def located(config: RunConfig) -> RunConfig:
    """The settings of a start, its boxes and calibration named so that any folder finds them.

    Raises:
        UserError: one of them is a URI of another machine.
    """
    paths = {
        name: to_uri(os.path.abspath(to_path(value, f"--{name}")))  # noqa: PTH100 - links stay
        for name in ("boxes", "calibration")
        if (value := getattr(config, name)) is not None
    }
    return config.model_copy(update=paths)


def resolve_models(config: RunConfig, listener: Listener) -> tuple[ModelSource, ModelSource | None]:
    """The pose model, and the detector where the run needs one.

    Raises:
        UserError: boxes are given to a model that finds people by itself; or as `fetch_missing` and
            `pose_model`.
    """
    from annotator.models.sources import RANDOM, needs_boxes, resolve_detector, resolve_pose

    listener.stage("models ...")
    # The config alone says what else is needed.
    plain = resolve_pose(config.pose, RANDOM)
    whole_image = not needs_boxes(plain)
    if whole_image and config.boxes is not None:
        raise UserError(
            f"--boxes: {plain.name} finds people by itself; leave them out, or take a top-down model"
        )
    detector = None if whole_image or config.boxes is not None else config.detector
    fetch_missing(config, detector, listener)
    pose = pose_model(config.pose, config.pose_weights, config.weights_dir)
    if detector is None:
        return pose, None
    return pose, resolve_detector(detector, config.detector_weights, config.weights_dir)


def pose_model(name: str, weights: str | None, weights_dir: str | None) -> ModelSource:
    """A pose model of a run.

    Raises:
        UserError: as `resolve_pose`, or a config of one's own has no skeleton.
    """
    from annotator.models.skeleton import check_skeleton
    from annotator.models.sources import is_config_file, resolve_pose

    source = resolve_pose(name, weights, weights_dir)
    if is_config_file(name):
        # Workers would find out, but in a run folder that has been begun.
        check_skeleton(source)
    return source


def fetch_missing(config: RunConfig, detector: str | None, listener: Listener) -> None:
    """Download the weights of all models of a run that are not at hand, before any is read.

    Args:
        detector: its name or config, where the run needs one.

    Raises:
        MissingWeightsError: they are not to be had; it lists all of them.
        UserError: unknown name, or a server's answer is wrong.
    """
    from annotator.models.sources import missing_weights
    from annotator.models.weights.fetch import fetch_all

    folder = config.weights_dir
    addresses = [missing_weights("pose", config.pose, config.pose_weights, folder)]
    if config.second_pose is not None:
        addresses.append(missing_weights("pose", config.second_pose, config.second_pose_weights, folder))
    if detector is not None:
        addresses.append(missing_weights("detector", detector, config.detector_weights, folder))
    fetch_all([address for address in addresses if address], folder, listener.download)


def resolve_second(config: RunConfig, pose: ModelSource) -> ModelSource | None:
    """The second pose model, if one is asked for.

    Raises:
        UserError: one of the two finds people by itself, so that they have no boxes in common; both models of
            a cascade have one name; or as `pose_model`.
    """
    from annotator.models.sources import needs_boxes

    if config.second_pose is None:
        return None
    second = pose_model(config.second_pose, config.second_pose_weights, config.weights_dir)
    for source in (pose, second):
        if not needs_boxes(source):
            raise UserError(
                f"--second-pose: {source.name} finds people by itself; a second opinion is on the same "
                "boxes, so both must be top-down models"
            )
    if config.cascade and second.name == pose.name:
        raise UserError(
            f"--cascade: both models are called {pose.name}, so posed_by could not tell whose a pose is; "
            "name one of them by a config file with another file name"
        )
    return second


def make_provenance(
    config: RunConfig,
    plan: Plan,
    pose: ModelSource,
    detector: ModelSource | None,
    second: ModelSource | None = None,
    calibration: Calibration | None = None,
) -> Provenance:
    """Names and hashes of everything that decides the rows.

    Raises:
        UserError: the boxes cannot be read.
    """
    return Provenance(
        pose_model=_model_record(pose),
        detector=_model_record(detector) if detector else None,
        boxes=_boxes_record(config),
        config_sha256=config.sha256(),
        plan_sha256=plan.sha256,
        calibration=calibration_record(config, calibration),
        second_pose_model=_model_record(second) if second else None,
    )


def resolve_calibration(config: RunConfig, pose: ModelSource) -> Calibration | None:
    """The calibration of a run, if it has one; read once, so that all rows are made with what its hash names.

    Raises:
        UserError: it cannot be read, or is of another model.
    """
    from annotator.quality.calibration import read_calibration

    if config.calibration is None:
        return None
    calibration = read_calibration(to_path(config.calibration, "--calibration"))
    calibration.check_model(pose.sha256)
    return calibration


def calibration_record(config: RunConfig, calibration: Calibration | None) -> FileRecord | None:
    """What the rows say about the calibration."""
    if config.calibration is None or calibration is None:
        return None
    return FileRecord(Path(config.calibration).name, calibration.sha256)


def _boxes_record(config: RunConfig) -> FileRecord | None:
    if config.boxes is None:
        return None
    try:
        with Path(to_path(config.boxes, "--boxes")).open("rb") as file:
            return FileRecord(Path(config.boxes).name, hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise UserError(
            f"--boxes {config.boxes} cannot be read: {error.strerror}; it is compared with the file that the "
            "run was started with: put it back"
        ) from None


def _model_record(source: ModelSource) -> ModelRecord:
    from annotator.models.openmmlab.configs import input_size, load_model_config

    size = input_size(load_model_config(source.config_path, source.kind))
    if source.weights_path is None:
        return ModelRecord(source.name, input_size=size, config_sha256=source.config_sha256)
    weights = Path(source.weights_path).name
    return ModelRecord(source.name, source.sha256, weights, size, source.config_sha256)
