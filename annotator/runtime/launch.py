"""A run from its settings to its last commit: plan, resolve models, start or resume, execute, close."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.config import RunConfig
from annotator.errors import AnnotatorError, RunFailed, UserError
from annotator.runtime import intents
from annotator.runtime.cases import sweep_cases
from annotator.runtime.destination import check_writable
from annotator.runtime.efficiency import Efficiency, efficiency_of
from annotator.runtime.engine_settings import resolve_engines
from annotator.runtime.job import Executor, Job, News, Progress, Report, ShardTask
from annotator.runtime.journal import Journal
from annotator.runtime.progress import Listener, Tally
from annotator.runtime.second_figures import SecondFigures, second_figures
from annotator.runtime.stopping import Stopped
from annotator.store import run_info
from annotator.store.commit import sweep
from annotator.store.locations import absolute
from annotator.store.reader import Run
from annotator.store.recovery import repair
from annotator.store.schema import FileRecord, ModelRecord, Provenance
from annotator.store.status import Summary, summarise
from annotator.tracks.layer import follow_run

if TYPE_CHECKING:
    from annotator.models.sources import ModelSource
    from annotator.sources.plan import Plan


# Below this score most boxes of most detectors are not people.
CONFIDENT = 0.3


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a start of a run came to.

    Attributes:
        run: the run folder.
        totals: the whole run as it stands now.
        images, people, seconds: of this start alone; all zero when there was nothing left to do.
        stages: seconds the workers of this start spent by stage.
        efficiency: of the workers of this start; None where nothing was done or measured.
        confident: people of the whole run whose box has a score of at least `CONFIDENT`.
        phantoms: likely phantoms of the whole run: stored, and shown only when asked for.
        notes: what planning had to say about the inputs.
        examples: one file name for each kind of error.
        second: what the second pose model did in the whole run, if there is one.
    """

    run: str
    totals: Summary
    images: int
    people: int
    seconds: float
    stages: dict[str, float]
    confident: int
    phantoms: int
    notes: tuple[str, ...]
    examples: dict[str, str]
    second: SecondFigures | None = None
    efficiency: Efficiency | None = None

    @property
    def exit_code(self) -> int:
        """0: every input annotated; 3: finished, some inputs are error rows."""
        if not self.images:
            return 0
        return 3 if self.totals.error else 0


def launch(config: RunConfig, listener: Listener) -> RunReport:
    """Carry out a run, or what is left of it.

    Raises:
        UserError: settings, inputs, models or weights that cannot be used, or that differ from those the run
            was started with.
        RunFailed: shards are left that could not be carried out; what was committed stays.
    """
    from annotator.sources.plan import build_plan
    from annotator.sources.videos import Sampling

    warning = check_writable(config.out)
    if warning is not None:
        listener.stage(warning)
    listener.stage("planning ...")
    plan = build_plan(
        config.inputs,
        image_root=config.image_root,
        boxes=config.boxes,
        shard_size=config.shard_size,
        limit=config.limit,
        sampling=Sampling(config.start, config.end, config.keyframes_only, config.fps, config.every),
    )
    pose, detector = resolve_models(config, listener)
    second = resolve_second(config, pose, listener)
    resolved = resolve_engines(config, pose, detector)
    config = resolved.config
    listener.stage(resolved.opening)
    job = Job(
        config,
        absolute(config.out),
        pose,
        detector,
        make_provenance(config, plan, pose, detector, second),
        second=second,
    )
    return begin(job, plan, _opening(plan, pose, detector, config), listener)


def begin(job: Job, plan: Plan, opening: str, listener: Listener, notes: Sequence[str] = ()) -> RunReport:
    """Start the run of a job, or go on with it.

    Args:
        opening: what is going to be done, for a person.
        notes: for the report, beside those of the plan.

    Raises:
        UserError, RunFailed: as `launch`.
    """
    from annotator.sources.plan import write_plan

    out = job.config.out
    info = run_info.RunInfo(job.config.model_dump(mode="json"), job.provenance, len(plan), len(plan.shards))
    if run_info.create(out, info):
        write_plan(plan, out)
    else:
        _resume(out, info, plan)
    before = Run(out).committed()
    tasks = [ShardTask(shard) for shard in plan.shards if shard not in before]
    resumed = f"; {len(before):,} shards committed before" if before else ""
    listener.stage(f"{opening}{resumed}; executor {job.config.executor}")
    return carry_out(job, tasks, summarise(out), listener, (*plan.notes, *notes))


def carry_out(
    job: Job, tasks: Sequence[ShardTask], standing: Summary, listener: Listener, notes: tuple[str, ...] = ()
) -> RunReport:
    """Execute tasks, make sure that they are done, and leave the run folder in order.

    Args:
        standing: the run before these tasks.
        notes: for the report.

    Raises:
        RunFailed: tasks are left that could not be carried out; what was committed stays.
    """
    out = job.config.out
    started = time.perf_counter()
    tally = Tally()
    if tasks:
        again = sum(len(task.only) for task in tasks if task.only is not None)
        before = standing.images - again
        listener.begin(standing.items, before, standing.people, standing.error - again)
        try:
            with Journal(out, standing.items, before) as journal:
                _executor(job)(job, tasks, _all(tally, listener, journal))
        except (AnnotatorError, Stopped, SystemError) as error:
            run_info.update(out, state="failed", failure=str(error), finished_at=run_info.now())
            raise
    seconds = time.perf_counter() - started
    after = Run(out).committed()
    missing = [
        task.shard
        for task in tasks
        if task.shard not in after or after[task.shard].generation < task.generation
    ]
    if missing:
        raise RunFailed(
            f"{len(missing)} shards are not committed, the first is {missing[0]}; run again to go on"
        )
    try:
        follow_run(Run(out), listener.stage)
    except AnnotatorError as error:
        run_info.update(out, state="failed", failure=str(error), finished_at=run_info.now())
        raise
    sweep(out)
    sweep_cases(out)
    intents.sweep(out)
    if not tasks:
        return report(out, notes=notes)
    run_info.update(out, state="finished", failure=None, finished_at=run_info.now())
    return report(out, tally, seconds, [after[task.shard].stats for task in tasks], notes)


def report(
    out: str,
    tally: Tally | None = None,
    seconds: float = 0.0,
    stats: Sequence[Mapping[str, Any]] = (),
    notes: tuple[str, ...] = (),
) -> RunReport:
    """The run as it stands, and what this start did, if anything.

    Args:
        stats: figures of the shards of this start, from their commit records.
    """
    run = Run(out)
    confident, phantoms = _confident(run)
    return RunReport(
        run=out,
        totals=summarise(out),
        images=tally.images if tally else 0,
        people=tally.people if tally else 0,
        seconds=seconds,
        stages=_stages(stats),
        confident=confident,
        phantoms=phantoms,
        notes=notes,
        examples=_examples(run),
        second=second_figures(run, CONFIDENT),
        efficiency=efficiency_of(stats),
    )


def resolve_models(config: RunConfig, listener: Listener) -> tuple[ModelSource, ModelSource | None]:
    from annotator.models.registry import needs_boxes
    from annotator.models.sources import resolve_detector, resolve_pose

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
    from annotator.models.registry import needs_boxes
    from annotator.models.sources import resolve_pose

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


def _resume(out: str, info: run_info.RunInfo, plan: Plan) -> None:
    """Make sure that the run in `out` is the one that `info` describes, and that its plan is there."""
    from annotator.sources.plan import read_plan, write_plan

    standing = run_info.read(out)
    different = run_info.differences(standing, info)
    if different:
        lines = "".join(f"\n  {line}" for line in different)
        raise UserError(
            f"{out} was started with something else; choose another --out, or start it as before:{lines}"
        )
    repair(out)
    try:
        read_plan(out)
    except UserError:
        if standing.forgotten:
            raise  # the plan from these inputs would bring back what was forgotten
        # The first start died between run.json and the plan; the hash in run.json says that it is this one.
        write_plan(plan, out)
    if standing.state != "finished":
        run_info.update(out, state="running", resumed_at=(*standing.resumed_at, run_info.now()))


def _executor(job: Job) -> Executor:
    config = job.config
    if job.base is not None and job.base.keypoints:
        from annotator.runtime.rewrite import run_rewrite

        return run_rewrite
    if config.executor == "inline":
        from annotator.runtime.inline import run_inline

        return run_inline
    from annotator.runtime.ray.session import prepare_environment

    prepare_environment(local=config.address is None)
    from annotator.runtime.ray.executor import run_on_ray

    return run_on_ray


def _all(tally: Tally, listener: Listener, journal: Journal) -> Report:
    def hear(news: News) -> None:
        journal.hear(news)
        if isinstance(news, Progress):
            tally.add(news)
            listener.report(news)

    return hear


def _opening(plan: Plan, pose: ModelSource, detector: ModelSource | None, config: RunConfig) -> str:
    given = "people as given" if config.boxes is not None else f"people by {pose.name}"
    people = f"people by {detector.name}" if detector else given
    return f"{len(plan):,} images in {len(plan.shards):,} shards; {people}; keypoints by {pose.name}"


def _stages(shards: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    total: defaultdict[str, float] = defaultdict(float)
    for stats in shards:
        rest = float(stats.get("seconds", 0.0))
        for stage in ("wait", "detect", "pose"):
            seconds = float(stats.get(stage, 0.0))
            total[stage] += seconds
            rest -= seconds
        total["other"] += max(0.0, rest)
    return dict(total)


def _confident(run: Run) -> tuple[int, int]:
    """How many people have a sure box, and how many are likely phantoms."""
    confident = phantoms = 0
    for batch in run.instances(["bbox_score", "likely_phantom"]):
        confident += int(np.count_nonzero(batch["bbox_score"].to_numpy() >= CONFIDENT))
        phantoms += batch["likely_phantom"].true_count
    return confident, phantoms


def _examples(run: Run) -> dict[str, str]:
    """The first failed input of each kind; reads only shards whose record counts errors."""
    found: dict[str, str] = {}
    for batch in run.images(["file_name", "status", "error_stage", "error_kind"], only_errors=True):
        for row in batch.to_pylist():
            if row["status"] == "error":
                found.setdefault(f"{row['error_stage']}/{row['error_kind']}", row["file_name"])
    return found
