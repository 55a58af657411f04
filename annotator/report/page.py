"""The page itself: figures, pictures and advice, laid out by `template.html.j2` into one file."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Environment, StrictUndefined

from annotator.config import RunConfig
from annotator.durations import duration
from annotator.export.atomic import atomic_text
from annotator.report import charts
from annotator.report.figures import CONFIDENT, Figures, collect
from annotator.report.thumbnails import Gallery, make_gallery
from annotator.store.durable import write_failure
from annotator.store.locations import absolute
from annotator.store.reader import Run
from annotator.store.run_info import RunInfo, now
from annotator.store.status import Summary, summarise

FILE_NAME = "report.html"

# Offered as a beginning: below it are mostly boxes around nobody. Must lie on an edge of the score histogram.
MIN_SCORE = 0.2

GROUPS = {
    "best": ("Best", "The highest scores of the run. If these are wrong, stop and look at the models."),
    "random": (
        "Random",
        f"Drawn evenly from everybody with a box score of {CONFIDENT} or more: what a label is usually like.",
    ),
    "doubtful": (
        "Sure of the person, unsure of the joints",
        f"Box score of {CONFIDENT} or more, lowest joint scores: labels that may look right and are not. "
        "Begin a review here.",
    ),
    "worst": (
        "Lowest scores",
        "Mostly nobody, or slivers of people: what a minimum score leaves out.",
    ),
}


@dataclass(frozen=True, slots=True)
class Step:
    """Something worth doing next, with the command for it if there is one."""

    text: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the file (or its URL), its bytes, pictures that could not be shown, its figures."""

    path: Path
    bytes: int
    missing: int
    figures: dict[str, Any]


def write_report(run: Run, to: str | Path | None = None, gt: str | Path | None = None) -> Written:
    """Write the report of a run, finished or not, as one HTML file that needs nothing beside it.

    Args:
        to: file to write; RUN/report.html by default.
        gt: COCO keypoint ground truth to evaluate against.

    Raises:
        UserError: nothing was committed yet, the ground truth does not fit, or the file cannot be written.
        RunFailed: a data file is missing or damaged.
    """
    evaluation = None
    if gt is not None:
        from annotator.evaluate.evaluation import evaluate

        evaluation = evaluate(run, gt)
    summary, figures = summarise(run.place), collect(run)
    gallery = make_gallery(run, figures)
    html = render(run, summary, figures, gallery, evaluation, gt)
    path = _write(run, html, to)
    document = figures.to_dict() | ({"evaluation": evaluation} if evaluation else {})
    return Written(path, len(html.encode()), gallery.missing, document)


def _write(run: Run, html: str, to: str | Path | None) -> Any:
    """Write the page to `to`, or into the run folder wherever that is; returns where it is."""
    if to is None and run.storage.remote:
        try:
            run.storage.replace(FILE_NAME, html.encode())
        except OSError as error:
            raise write_failure(error, f"{run.place}/{FILE_NAME}") from error
        return f"{run.place}/{FILE_NAME}"
    path = Path(to) if to is not None else run.path / FILE_NAME
    with atomic_text(path) as out:
        out.write(html)
    return path


def render(
    run: Run,
    summary: Summary,
    figures: Figures,
    gallery: Gallery,
    evaluation: dict[str, Any] | None,
    gt: str | Path | None,
) -> str:
    """The whole page as HTML."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["duration"] = duration
    environment.filters["moment"] = moment
    environment.filters["share"] = share
    source = (files("annotator.report") / "template.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        name=PurePosixPath(absolute(run.place)).name,
        info=run.info,
        summary=summary,
        figures=figures,
        gallery=gallery,
        groups=GROUPS,
        evaluation=evaluation,
        gt=str(gt) if gt is not None else "",
        steps=next_steps(run, summary, figures, gt),
        charts=_charts(figures),
        spark=charts.spark,
        skeleton=run.skeleton,
        visibility=run.metadata["visibility"],
        confident=CONFIDENT,
        elapsed=_elapsed(run.info),
        changed=_changed_settings(run.info),
        made_at=now(),
    )


def next_steps(run: Run, summary: Summary, figures: Figures, gt: str | Path | None) -> list[Step]:
    """What to do with this run now, most urgent first."""
    path = shlex.quote(run.place)
    steps = []
    if not summary.complete:
        left = summary.shards - summary.shards_done
        steps.append(
            Step(f"{left:,} of {summary.shards:,} shards are not done. The same command goes on with them.")
        )
    if summary.error:
        kinds = "; ".join(f"{error.count:,} {error.kind}" for error in figures.errors[:3])
        text = f"{summary.error:,} inputs have no result ({kinds}). Mend what the table names and try again."
        steps.append(Step(text, f"annotator retry {path}"))
    steps.append(Step("Prove that every input has exactly one row.", f"annotator verify {path}"))
    if gt is None:
        text = "Measure it: label a few hundred people, or take a labelled subset, and compare."
        steps.append(Step(text, f"annotator report {path} --gt COCO.json"))
    else:
        steps.append(
            Step("All figures of the evaluation.", f"annotator eval {path} --gt {shlex.quote(str(gt))}")
        )
    kept = int(figures.scores.counts[round(MIN_SCORE * len(figures.scores.counts)) :].sum())
    steps.append(
        Step(
            f"Write COCO annotations. A person score of {MIN_SCORE:g} or more keeps {kept:,} of the "
            f"{figures.people:,} people; look at the groups below before choosing your own.",
            f"annotator export {path} --format coco --min-score {MIN_SCORE:g} --to annotations.json",
        )
    )
    return steps


def _charts(figures: Figures) -> dict[str, Any]:
    return {
        "scores": charts.score_chart(figures.scores, "Histogram of person scores from 0 to 1"),
        "bbox_scores": charts.score_chart(
            figures.bbox_scores, "Histogram of box scores from 0 to 1", threshold=CONFIDENT
        ),
        "crowd": charts.class_chart(figures.crowd, "Histogram of people per picture"),
        "heights": charts.size_chart(figures.heights, "Histogram of person heights in pixels"),
    }


def _elapsed(info: RunInfo) -> float | None:
    """Seconds from the first start to the last end; None while it is not finished."""
    if info.finished_at is None:
        return None
    return (
        datetime.fromisoformat(info.finished_at) - datetime.fromisoformat(info.started_at)
    ).total_seconds()


def _changed_settings(info: RunInfo) -> set[str]:
    """Names of the settings that differ from the defaults."""
    fields = RunConfig.model_fields
    return {
        name for name, value in info.config.items() if name not in fields or value != fields[name].default
    }


def moment(iso: str) -> str:
    """2026-01-31 14:05 UTC, from ISO 8601."""
    return datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M UTC")


def share(part: float, whole: float) -> str:
    """42%, 0.3%, 0%: never a 0 for something, never 100 for less than all."""
    if not whole or not part:
        return "0%"
    percent = 100 * part / whole
    if percent < 1 or 99 < percent < 100:
        return f"{min(99.9, max(0.1, percent)):.1f}%"
    return f"{percent:.0f}%"
