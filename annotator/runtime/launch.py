"""A run from its settings to its last commit: plan, resolve models, start or resume, execute, close."""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from annotator.config import RunConfig
from annotator.errors import AnnotatorError, RunFailed, UserError
from annotator.locations import absolute
from annotator.runtime import ingredients, intents, scores
from annotator.runtime.cases import sweep_cases
from annotator.runtime.destination import check_writable
from annotator.runtime.engine_settings import check_device, resolve_engines
from annotator.runtime.job import Executor, Job, News, Progress, Report, ShardTask
from annotator.runtime.journal import Journal, may_be_at_work
from annotator.runtime.progress import Listener, Tally
from annotator.runtime.run_report import RunReport, report
from annotator.runtime.stopping import Stopped, why_stopped
from annotator.store import run_info
from annotator.store.durable import failures_in_words
from annotator.store.leftovers import generations_begun, sweep
from annotator.store.plan import Plan, read_plan, write_plan
from annotator.store.reader import Run
from annotator.store.recovery import lost_rows, repair
from annotator.store.status import Summary, summarise
from annotator.store.storage import storage_at
from annotator.tracks.layer import follow_run

if TYPE_CHECKING:
    from annotator.models.sources import ModelSource
    from annotator.store.run_info import Forgotten

# Where the inputs cannot be listed as they were: some were forgotten or are gone.
_BY_RETRY = " (`annotator retry` does, from the plan that it has)"


def launch(config: RunConfig, listener: Listener) -> RunReport:
    """Carry out a run, or what is left of it.

    Raises:
        UserError: settings, inputs, models or weights that cannot be used, or that differ from those the run
            was started with.
        RunFailed: shards are left that could not be carried out; what was committed stays.
    """
    from annotator.sources.plan import build_plan
    from annotator.sources.sampling import Sampling

    check_device(config)
    config = ingredients.located(config)
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
    pose, detector = ingredients.resolve_models(config, listener)
    second = ingredients.resolve_second(config, pose)
    calibration = ingredients.resolve_calibration(config, pose)
    resolved = resolve_engines(config, pose, detector, second)
    config = resolved.config
    listener.stage(resolved.opening)
    job = Job(
        config,
        absolute(config.out),
        pose,
        detector,
        ingredients.make_provenance(config, plan, pose, detector, second, calibration),
        second=second,
        calibration=calibration,
    )
    return begin(job, plan, _opening(plan, pose, detector, config), listener)


def begin(
    job: Job,
    plan: Plan,
    opening: str,
    listener: Listener,
    notes: Sequence[str] = (),
    forgotten: Forgotten | None = None,
) -> RunReport:
    """Start the run of a job, or go on with it.

    Args:
        opening: what is going to be done, for a person.
        notes: for the report, beside those of the plan.
        forgotten: what is gone from the run that this one is made from, if anything.

    Raises:
        UserError, RunFailed: as `launch`.
    """
    out = job.config.out
    settings = job.config.model_dump(mode="json")
    info = run_info.RunInfo(settings, job.provenance, len(plan), len(plan.shards), forgotten=forgotten)
    if run_info.create(out, info):
        write_plan(plan, out)
    else:
        _resume(out, info, plan)
    before = Run(out).committed()
    tasks = to_make(out, plan.shards, before)
    resumed = f"; {len(before):,} shards committed before" if before else ""
    listener.stage(f"{opening}{resumed}; executor {job.config.executor}")
    for warning in scores.warnings(job):
        listener.stage(warning)
    return carry_out(job, tasks, summarise(out), listener, (*plan.notes, *notes))


def to_make(out: str, shards: Iterable[int], records: Container[int]) -> list[ShardTask]:
    """Those of some shards that have no record.

    One whose rows were lost is made as the latest generation of which there are files: so they are all
    replaced, and who reads the folder sees none of them for long.
    """
    missing = [shard for shard in shards if shard not in records]
    begun = generations_begun(storage_at(out)) if missing else {}
    return [ShardTask(shard, begun.get(shard, 0)) for shard in missing]


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
    if not tasks and run_info.read(out).state == "finished":
        put_in_order(out, listener)
        return report(out, notes=notes)
    started = time.perf_counter()
    tally = Tally()
    again = sum(len(task.only) for task in tasks if task.only is not None)
    before = standing.images - again
    # Until the last write: who reads its signs of life may change the run once this driver has ended.
    with Journal(out, standing.items, before) as journal:
        try:
            if tasks:
                listener.begin(standing.items, before, standing.people, standing.error - again)
                _executor(job)(job, tasks, _all(tally, listener, journal))
            seconds = time.perf_counter() - started
            with failures_in_words(out):
                stats = _stats(out, tasks)
            put_in_order(out, listener, journal.start)
        except (AnnotatorError, Stopped, SystemError) as error:
            failure = str(why_stopped(error))
            run_info.update(out, state="failed", failure=failure, finished_at=run_info.now())
            raise
        run_info.update(out, state="finished", failure=None, finished_at=run_info.now())
    return report(out, tally, seconds, stats, notes, finished=True)


def _stats(out: str, tasks: Sequence[ShardTask]) -> list[dict[str, Any]]:
    """What the records of the shards say about the work.

    Raises:
        RunFailed: one is not committed, or rows of any shard of the run are lost.
    """
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
    if lost := lost_rows(out, after):
        shard, what = next(iter(lost.items()))
        raise RunFailed(
            f"rows of {len(lost)} shards are lost, the first is {shard} ({what}); run again to make them anew"
        )
    return [after[task.shard].stats for task in tasks]


def put_in_order(out: str, listener: Listener, start: str | None = None) -> None:
    """All shards are committed: follow people through films, and remove what nobody needs any more.

    Where that fails the run is not finished, though no row is missing: who reads its folder might see rows
    double. Running again goes on, and is soon done.

    Args:
        start: name of this start of the run, if it is at work.

    Raises:
        RunFailed: rows cannot be read or written, or files not be removed; running again goes on.
    """
    with failures_in_words(out):
        follow_run(Run(out), listener.stage)
        sweep(out)
    # By these other drivers judge what became of their workers.
    if not may_be_at_work(out, but=start):
        sweep_cases(out)
        intents.sweep(out)


def _resume(out: str, info: run_info.RunInfo, plan: Plan) -> None:
    """Make sure that the run in `out` is the one that `info` describes, and that its plan is there."""
    standing = run_info.read(out)
    different = run_info.differences(standing, info)
    if different:
        lines = "".join(f"\n  {line}" for line in different)
        raise UserError(
            f"{out} was started with something else; choose another --out, or start it as before"
            f"{'' if standing.provenance.derived_from else _BY_RETRY}:{lines}"
        )
    repair(out)
    try:
        read_plan(out).prove()
    except UserError:
        if plan.sha256 != standing.plan_sha256:
            raise  # the plan from these inputs would bring back what was forgotten
        # The first start died between run.json and the plan, or a disk lost some of it; the hash in run.json
        # says that it is this one.
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
