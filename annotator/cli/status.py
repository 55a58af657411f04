"""`annotator status` and `annotator verify`: how far a run is, and whether its files keep the promises."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from annotator.runtime.journal import Life
    from annotator.store.verify_report import Report

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def status(run: RunArgument, as_json: JsonOption = False) -> None:
    """Show how far a run is, live or dead: from its commit records and its drivers' signs of life."""
    from annotator.cli import print_json
    from annotator.runtime.journal import FOLDER, read_lives
    from annotator.store.status import summarise

    summary = summarise(run)
    lives, unheard = [], None
    try:
        lives = read_lives(run)
    except OSError as error:
        unheard = f"{run}/{FOLDER} cannot be read ({error.strerror or error})"
    if as_json:
        drivers = [
            asdict(life) | {"alive": life.alive, "age": life.age, "seconds_left": life.seconds_left}
            for life in lives
        ]
        print_json(summary.to_dict() | {"drivers": drivers, "drivers_unknown": unheard})
        return
    share = 100 * summary.images / summary.items if summary.items else 100
    print(f"{run}: {summary.state}")
    print(f"  shards   {summary.shards_done:,} of {summary.shards:,} committed")
    print(f"  images   {summary.images:,} of {summary.items:,} ({share:.1f}%)")
    print(f"           {summary.ok:,} with people, {summary.empty:,} without, {summary.error:,} errors")
    print(f"  people   {summary.people:,}")
    print(f"  started  {summary.started_at}")
    if summary.last_commit_at:
        print(f"  latest   {summary.last_commit_at}")
    for kind, count in summary.errors.items():
        print(f"  {count:>7,}  {kind}")
    if summary.damaged:
        damaged = ", ".join(map(str, summary.damaged))
        print(f"  damaged commit records of shards {damaged}: run again to redo them")
    if summary.failure:
        print(f"  failed:  {summary.failure}")
    for life in [life for life in lives if life.alive] or lives[-1:]:
        print("\n".join(_describe_driver(life)))
    if unheard is not None:
        print(f"  driver   nobody can tell whether one is at work: {unheard}")


def _describe_driver(life: Life) -> list[str]:
    """A driver and its workers, for people."""
    from annotator.durations import duration

    where = f"  driver   {life.host}, process {life.pid}"
    if life.ended is not None:
        return [f"{where}: ended, {life.ended}"]
    if not life.alive:
        silent = duration(life.age)
        return [f"{where}: silent for {silent}, so dead or cut off; the same command goes on with the run"]
    left = f", {duration(life.seconds_left)} left" if life.seconds_left is not None else ""
    lines = [
        f"{where}: {life.images:,} images so far, {life.rate:.1f} images/s{left}; heard {life.age:.0f} s ago"
    ]
    if life.deaths:
        lines.append(f"           {life.deaths:,} workers died and were replaced")
    for name, worker in life.workers.items():
        shards = f"shard {', '.join(map(str, worker.shards))}" if worker.shards else worker.state
        lines.append(f"  worker   {name} on {worker.node or '?'}: {shards}, heard {worker.heard:.0f} s ago")
    return lines


def verify(run: RunArgument, as_json: JsonOption = False) -> None:
    """Prove from the files alone that every planned input appears exactly once; exit 1 if not."""
    from annotator.cli import print_json
    from annotator.store.verify import verify as verify_run

    report = verify_run(run)
    if as_json:
        print_json(report.to_dict())
    else:
        print(_describe(run, report))
    sys.exit(0 if report.ok else 1)


def _describe(run: str, report: Report) -> str:
    """What verify found, for people."""
    lines = [
        f"{run}: {'verified' if report.ok else 'NOT as it should be'}",
        f"  {report.planned:,} inputs planned, {report.images:,} rows in images, {report.instances:,} people",
        f"  {report.missing:,} missing, {report.doubled:,} doubled; "
        f"{report.shards_done:,} of {report.shards:,} shards committed",
    ]
    if report.forgotten:
        traces = sum(problem.kind in ("remains", "forgetting", "foreign") for problem in report.problems)
        left = "traces of them remain" if traces else "nothing of them is left"
        lines.append(f"  {report.forgotten:,} forgotten: {left}")
    lines += [f"  {problem.kind}: {problem.where}: {problem.message}" for problem in report.problems]
    hidden = sum(report.counts.values()) - len(report.problems)
    if hidden:
        lines.append(f"  and {hidden:,} more of these kinds")
    if report.counts.keys() & {"doubled", "foreign", "mismatch", "orphan"}:
        lines.append(
            "  rows that are not what was planned: move the last commit record of their shard away (that of "
            "shard 3: commits/s000003.json or -g001.json ...), and `annotator retry` makes the shard anew"
        )
    if report.leftovers:
        lines.append(
            f"  {report.leftovers:,} leftover files of attempts that did not win; the next run sweeps those "
            "that can win no more"
        )
    return "\n".join(lines)
