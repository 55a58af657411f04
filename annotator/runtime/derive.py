"""A run from another run: only what changed is made anew.

A new pose model looks at the boxes that the other run found; new thresholds, policies and calibrations are
applied to its rows without any model. Errors and images without people stay what they are.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from typing import Any

from annotator import __version__
from annotator.config import PLACEMENT_FIELDS, RunConfig
from annotator.errors import UserError
from annotator.locations import absolute
from annotator.models.sources import RANDOM, ModelSource
from annotator.runtime import ingredients, launch
from annotator.runtime.destination import check_writable
from annotator.runtime.engine_settings import check_device, resolve_engines
from annotator.runtime.job import Base, Job
from annotator.runtime.progress import Listener
from annotator.runtime.rewrite import kept_people
from annotator.runtime.run_report import RunReport
from annotator.store import run_info
from annotator.store.reader import Run
from annotator.store.schema import RunRecord
from annotator.store.status import summarise

# What the new run has from the other one as it is.
FIXED = frozenset(
    {
        "inputs", "image_root", "limit", "every", "fps", "start", "end", "keyframes_only", "shard_size",
        "boxes", "detector", "detector_weights", "detector_engine", "detector_precision", "max_pixels",
    }
)  # fmt: skip
# What a pose model has to look at the boxes again for.
POSING = frozenset(
    {
        "pose", "pose_weights", "flip", "engine", "precision", "second_pose", "second_pose_weights",
        "second_engine", "cascade", "cascade_bbox_score", "cascade_pose_score", "cascade_flip_oks",
    }
)  # fmt: skip
# What of it leaves the poses as they are while no cascade replaces any.
OPINION = frozenset(name for name in POSING if name.startswith(("second_", "cascade_")))


def settings_of(run_dir: str, given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run that decide its rows, as a start for those of another one.

    Args:
        given: settings of the new run; weights of a model that it replaces are left out.

    Raises:
        UserError: not a run folder.
    """
    settings = Run(run_dir).info.run_config.identity()
    for model in ("pose", "second_pose"):
        if given.get(model) is not None:
            settings[f"{model}_weights"] = None
    if given.get("pose") is not None:
        # What is best for one model need not be for another.
        settings |= {"engine": "auto", "precision": "auto"}
    if given.get("second_pose") is not None:
        settings["second_engine"] = "auto"
    return settings


def launch_from(config: RunConfig, base_dir: str, listener: Listener) -> RunReport:
    """Carry out a run on the rows of another one, or what is left of it.

    Args:
        config: the settings of `base_dir`, with what is to be different.

    Raises:
        UserError: the other run is not finished, nothing differs from it, or something that its rows cannot
            give; otherwise as `launch.launch`.
        RunFailed: as `launch.launch`.
    """
    check_device(config)
    config = ingredients.located(config)
    base = Run(base_dir)
    if absolute(config.out) == absolute(base_dir):
        raise UserError(f"--out {config.out} is the run of --from: name another folder, it stays as it is")
    if not summarise(base_dir).complete:
        raise UserError(f"--from {base_dir} is not finished: go on with it first")
    if run_info.is_forgetting(base_dir):
        raise UserError(
            f"--from {base_dir}: something is being forgotten from it; finish `annotator forget` first"
        )
    different = _different(ingredients.located(base.info.run_config), config)
    _check(base_dir, base, config, different)
    warning = check_writable(config.out)
    if warning is not None:
        listener.stage(warning)
    anew = bool(different & POSING)
    before = base.info.provenance
    origin = Base(
        absolute(base_dir),
        keypoints=not anew,
        given_boxes=before.boxes is not None,
        whole_image=before.detector is None and before.boxes is None,
    )
    prepare = _posed_anew if anew else _rewritten
    job, plan = prepare(config, base, origin, listener)
    counts = summarise(base_dir)
    notes = []
    if counts.error:
        notes.append(f"{counts.error:,} errors of {base_dir} stay errors; `annotator retry` mends them there")
    what = f"boxes of {base_dir}; keypoints by {job.pose.name}" if anew else f"rows of {base_dir}, no model"
    opening = f"{len(plan):,} images in {len(plan.shards):,} shards; {what}"
    # Numbers of items are the base's, with its gaps.
    gone = base.info.forgotten and replace(base.info.forgotten, plan_sha256=plan.sha256)
    return launch.begin(job, plan, opening, listener, notes, gone)


def _different(before: RunConfig, now: RunConfig) -> frozenset[str]:
    """Names of the settings that decide rows and are not the same."""
    old, new = before.model_dump(mode="json"), now.model_dump(mode="json")
    return frozenset(name for name in new if name not in PLACEMENT_FIELDS and old.get(name) != new[name])


def _check(base_dir: str, base: Run, config: RunConfig, different: frozenset[str]) -> None:
    """Refuse what the rows of a run cannot give.

    Raises:
        UserError: it is so.
    """
    fixed = sorted(different & FIXED)
    if fixed:
        raise UserError(
            f"--from {base_dir} takes inputs and boxes from there, so {', '.join(fixed)} cannot differ: "
            "start a new run without --from for that"
        )
    before = base.info.run_config
    for name, lost in (
        ("detector_threshold", config.detector_threshold < before.detector_threshold),
        ("max_people", config.max_people > before.max_people),
        ("nms", (before.nms, config.nms) == ("drop", "flag")),
    ):
        if lost:
            raise UserError(
                f"{name} {getattr(config, name)}: {base_dir} left people out at {getattr(before, name)}, and "
                "has no rows of them; start a new run without --from"
            )
    posing = different & POSING
    if not (before.cascade or config.cascade):
        posing -= OPINION
    if before.nms == "drop" and posing:
        raise UserError(
            f"--from {base_dir} left out whom its own poses suppressed (nms drop), so other poses "
            f"({', '.join(sorted(posing))}) would miss those people: start a new run without --from"
        )
    if not different:
        raise UserError(f"nothing differs from {base_dir}: name what is to be different, such as --pose NAME")


def _posed_anew(config: RunConfig, base: Run, origin: Base, listener: Listener) -> tuple[Job, Any]:
    """The job of a pose model on the boxes of a run, and its plan."""
    from annotator.models.sources import needs_boxes
    from annotator.sources.stored_boxes import plan_with_boxes

    listener.stage("models ...")
    ingredients.fetch_missing(config, None, listener)
    pose = ingredients.pose_model(config.pose, config.pose_weights, config.weights_dir)
    if not needs_boxes(pose):
        raise UserError(
            f"--from: {pose.name} finds people by itself and would use nothing of {base.place}; "
            "start a new run without --from"
        )
    second = ingredients.resolve_second(config, pose)
    calibration = ingredients.resolve_calibration(config, pose)
    resolved = resolve_engines(config, pose, None, second)
    config = resolved.config
    listener.stage(resolved.opening)
    listener.stage("planning ...")
    plan = plan_with_boxes(base, partial(kept_people, config, origin))
    before = base.info.provenance
    without_boxes = config.model_copy(update={"boxes": None})
    provenance = replace(
        ingredients.make_provenance(without_boxes, plan, pose, None, second, calibration),
        config_sha256=config.sha256(),
        # A model that found people by itself is the detector of those who are posed anew.
        detector=before.pose_model if origin.whole_image else before.detector,
        boxes=before.boxes,
        derived_from=_record(base, ("inputs", "errors", "boxes")),
    )
    out = absolute(config.out)
    return Job(config, out, pose, None, provenance, second=second, base=origin, calibration=calibration), plan


def _rewritten(config: RunConfig, base: Run, origin: Base, listener: Listener) -> tuple[Job, Any]:
    """The job that needs no model, and its plan: the run's own."""
    listener.stage("planning ...")
    before = base.info.provenance
    model = before.pose_model
    pose = ModelSource(model.name, "pose", "", None, model.sha256 or RANDOM, model.config_sha256 or "")
    calibration = ingredients.resolve_calibration(config, pose)
    provenance = replace(
        before,
        config_sha256=config.sha256(),
        plan_sha256=base.plan.sha256,
        code_version=__version__,
        calibration=ingredients.calibration_record(config, calibration),
        derived_from=_record(base, ("inputs", "errors", "boxes", "keypoints")),
    )
    out = absolute(config.out)
    return Job(config, out, pose, None, provenance, base=origin, calibration=calibration), base.plan


def _record(base: Run, reused: tuple[str, ...]) -> RunRecord:
    """What the rows of the new run say about the one they were made from."""
    digest = hashlib.sha256()
    for record in base.committed().values():
        for table in sorted(record.files):
            digest.update(f"{table} {record.files[table].sha256}\n".encode())
    info = base.info
    name = base.place.rstrip("/").rpartition("/")[2] or base.place
    return RunRecord(
        name, digest.hexdigest(), info.provenance.config_sha256, info.provenance.code_version, reused
    )
