"""What a run lacks, made good from its own plan: error rows, run again, and shards that are not committed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from annotator.config import PLACEMENT_FIELDS, load_config
from annotator.errors import STAGES, UserError
from annotator.locations import absolute
from annotator.runtime import ingredients, launch
from annotator.runtime.engine_settings import check_device
from annotator.runtime.job import Job, ShardTask
from annotator.runtime.journal import at_work
from annotator.runtime.progress import Listener
from annotator.runtime.run_report import RunReport, report
from annotator.store import run_info
from annotator.store.reader import Run
from annotator.store.recovery import repair
from annotator.store.status import summarise


def retry(
    run_dir: str, placement: dict[str, Any], listener: Listener, kinds: frozenset[str] = frozenset()
) -> RunReport:
    """Run the error rows of a run again, as a new generation of their shards; make lost shards whole.

    All other rows stay as they are, to the bit. What fails again is an error row again. No input is listed:
    the plan in the run folder says what to do, so this goes on where inputs were forgotten or are gone.

    Args:
        placement: settings of this start that may differ from the first one's: executor, workers, device ...
        kinds: only errors of these, as "stage/kind"; empty: all. That there are none of a kind (any more) is
            said, and no error.

    Raises:
        UserError: not a run, one that a driver is (or, as nobody can tell, may be) at work on, a placement
            that cannot be, what is no kind of error, or models that are not the same any more.
        RunFailed: shards are left that could not be carried out; their old rows stay.
    """
    info = run_info.read(run_dir)
    given = {name: value for name, value in placement.items() if value is not None}
    unknown = given.keys() - PLACEMENT_FIELDS
    if unknown:
        raise UserError(f"retry keeps the settings of the run; it cannot change {', '.join(sorted(unknown))}")
    config = load_config(None, given | {"out": run_dir}, [], info.run_config.model_dump(mode="json"))
    check_device(config)
    _check_kinds(kinds)
    if info.provenance.derived_from is not None:
        raise UserError(
            f"{run_dir} was made from the rows of {info.provenance.derived_from.run}: mend its errors there, "
            "then make this one anew with --from"
        )
    repair(run_dir)
    standing = summarise(run_dir)
    if not standing.complete and at_work(run_dir):
        raise UserError(
            f"{run_dir} is not finished ({standing.shards_done} of {standing.shards} shards), and a driver "
            "is at work on it; wait until it has ended"
        )
    if absent := kinds - standing.errors.keys():
        # It may have been mended: a job that runs every night has then done what it is for.
        listener.stage(
            f"no errors of kind {', '.join(sorted(absent))}; those there are: "
            f"{', '.join(standing.errors) or 'none'}"
        )
    run = Run(run_dir)
    if (planned := len(run.plan.shards)) != info.shards:
        raise UserError(
            f"{run_dir}: run.json says {info.shards} shards, and the plan has {planned}, so they are not of "
            "the same run; put the right one of both in its place"
        )
    tasks = _tasks(run, kinds)
    if not tasks and info.state == "finished":
        launch.put_in_order(run_dir, listener)
        return report(run_dir)
    pose, detector = ingredients.resolve_models(config, listener)
    second = ingredients.resolve_second(config, pose)
    calibration = ingredients.resolve_calibration(config, pose)
    provenance = ingredients.make_provenance(config, run.plan, pose, detector, second, calibration)
    if provenance.plan_sha256 == info.plan_sha256:
        # All rows name the plan that the run began with, whatever was forgotten since.
        provenance = replace(provenance, plan_sha256=info.provenance.plan_sha256)
    now = run_info.RunInfo(config.model_dump(mode="json"), provenance, standing.items, standing.shards)
    different = run_info.differences(info, now)
    if different:
        lines = "".join(f"\n  {line}" for line in different)
        raise UserError(f"{run_dir} was made with something else, so a retry would mix rows:{lines}")
    run_info.update(run_dir, state="running", resumed_at=(*info.resumed_at, run_info.now()))
    again = [task for task in tasks if task.only is not None]
    rows = sum(len(task.only or ()) for task in again)
    listener.stage(
        f"{rows:,} error rows in {len(again):,} shards, {len(tasks) - len(again):,} shards to make whole; "
        f"executor {config.executor}"
    )
    job = Job(config, absolute(run_dir), pose, detector, provenance, second=second, calibration=calibration)
    return launch.carry_out(job, tasks, standing, listener)


def _check_kinds(kinds: frozenset[str]) -> None:
    """Refuse what is no kind of error."""
    for given in sorted(kinds):
        stage, _, kind = given.partition("/")
        if stage not in STAGES or not kind:
            raise UserError(
                f"--kind {given}: a kind of error is STAGE/KIND, as `annotator status` lists them; "
                f"the stages are {', '.join(STAGES)}"
            )


def _tasks(run: Run, kinds: frozenset[str]) -> list[ShardTask]:
    """Shards that are not committed, whole; of the others those whose record counts errors."""
    records = run.committed()
    missing = launch.to_make(run.place, range(run.info.shards), records)
    failed: dict[int, set[int]] = {}
    for batch in run.images(["index", "shard", "status", "error_stage", "error_kind"], only_errors=True):
        for row in batch.to_pylist():
            if row["status"] == "error" and (
                not kinds or f"{row['error_stage']}/{row['error_kind']}" in kinds
            ):
                failed.setdefault(row["shard"], set()).add(row["index"])
    return missing + [
        ShardTask(shard, records[shard].generation + 1, frozenset(items))
        for shard, items in sorted(failed.items())
    ]
