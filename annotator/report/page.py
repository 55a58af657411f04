"""The page itself: figures, pictures and advice, laid out by `templates/` into one file."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from annotator.config import RunConfig
from annotator.durations import duration
from annotator.evaluate.advice import advise
from annotator.locations import absolute
from annotator.quality.shown import CONFIDENT
from annotator.report import charts
from annotator.report.card import FILE_NAME as CARD_NAME
from annotator.report.card import card_text
from annotator.report.figures import Figures, collect
from annotator.report.film import FilmFigures, collect_films
from annotator.report.signals import Signals, collect_signals, queue_of
from annotator.report.thumbnails import Gallery, make_gallery
from annotator.store.atomic import atomic_text
from annotator.store.durable import write_failure
from annotator.store.reader import Run
from annotator.store.run_info import RunInfo, now
from annotator.store.status import Summary, summary_of
from annotator.store.work import ShardStats, Work

FILE_NAME = "report.html"

GROUPS = {
    "best": ("Best", "The highest scores of the run. If these are wrong, stop and look at the models."),
    "random": (
        "Random",
        f"Drawn evenly from everybody with a box score of {CONFIDENT} or more, likely phantoms and doubles "
        "aside: what a label is usually like.",
    ),
    "doubtful": (
        "First in the review queue",
        f"Box score of {CONFIDENT} or more, and the run itself doubts the pose: labels that may look right "
        "and are not.",
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
    """What was written: where the page is, its size in bytes, pictures that could not be shown, its figures,
    and where the data set card is."""

    path: Any
    bytes: int
    missing: int
    figures: dict[str, Any]
    card: Any


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a page says about a run.

    Attributes:
        evaluation: as of `evaluate.evaluation`, None without truth.
        cost: price of the workers' time, None where nobody said what an hour costs.
    """

    summary: Summary
    figures: Figures
    signals: Signals
    work: Work
    cost: float | None
    gallery: Gallery
    evaluation: dict[str, Any] | None
    gt: str
    faces_blurred: bool
    films: list[FilmFigures]


def write_report(
    run: Run,
    to: str | Path | None = None,
    gt: str | Path | None = None,
    *,
    blur_faces: bool = False,
    price_per_hour: float | None = None,
) -> Written:
    """Write the report of a run, finished or not, as one HTML file that needs nothing beside it, and a card.

    Args:
        run: a `Snapshot` of it while it goes on.
        to: file to write; RUN/report.html by default. The data set card goes beside it: RUN/README.md by
            default, else STEM.README.md, so that another README.md there stays.
        gt: COCO keypoint ground truth to evaluate against.
        blur_faces: in all pictures.
        price_per_hour: what an hour of one worker costs.

    Raises:
        UserError: nothing was committed yet, the ground truth does not fit, or a file cannot be written.
        RunFailed: a data file is missing or damaged.
    """
    evaluation = None
    if gt is not None:
        from annotator.evaluate.evaluation import evaluate

        evaluation = evaluate(run, gt)
    queue = queue_of(run)
    figures = collect(run, queue.risk if queue is not None else None)
    work = Work.of(ShardStats.of(record.stats) for record in run.committed().values())
    contents = Contents(
        summary=summary_of(run.info, run.committed().items()),
        figures=figures,
        signals=collect_signals(run, queue, gt),
        work=work,
        cost=None if price_per_hour is None else work.cost(price_per_hour),
        gallery=make_gallery(run, figures, blur_faces),
        evaluation=evaluation,
        gt=str(gt) if gt is not None else "",
        faces_blurred=blur_faces,
        films=collect_films(run, blur_faces),
    )
    html = render(run, contents)
    path = _write(run, FILE_NAME, html, to)
    card = card_text(run, run_name(run), contents.summary, figures, work, evaluation)
    beside = None if to is None else Path(to).with_name(f"{Path(to).stem}.{CARD_NAME}")
    card_path = _write(run, CARD_NAME, card, beside)
    document = figures.to_dict() | {
        "work": _work_to_dict(contents),
        "signals": contents.signals.to_dict(),
        **({"evaluation": evaluation} if evaluation else {}),
    }
    return Written(path, len(html.encode()), contents.gallery.missing, document, card_path)


def _work_to_dict(contents: Contents) -> dict[str, Any]:
    work, summary = contents.work, contents.summary
    return {
        "worker_seconds": work.stages,
        "workers": work.workers,
        "machines": work.hosts,
        "images_per_worker_second": summary.images / work.seconds if work.seconds else None,
        "people_per_worker_second": summary.people / work.seconds if work.seconds else None,
        "cost": contents.cost,
    }


def run_name(run: Run) -> str:
    """What a run is called: the last part of its place."""
    return PurePosixPath(absolute(run.place)).name


def _write(run: Run, name: str, text: str, to: str | Path | None) -> Any:
    """Write a text to `to`, or into the run folder wherever that is; returns where it is."""
    if to is None and run.storage.remote:
        try:
            run.storage.replace(name, text.encode())
        except OSError as error:
            raise write_failure(error, f"{run.place}/{name}") from error
        return f"{run.place}/{name}"
    path = Path(to) if to is not None else run.path / name
    with atomic_text(path) as out:
        out.write(text)
    return path


def render(run: Run, contents: Contents) -> str:
    """The whole page as HTML."""
    environment = Environment(
        loader=PackageLoader("annotator.report"),
        autoescape=lambda name: name is None or not name.endswith(".css"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(duration=duration, moment=moment, rate=rate, share=share)
    return environment.get_template("page.html.j2").render(
        **{name: getattr(contents, name) for name in Contents.__dataclass_fields__},
        name=run_name(run),
        info=run.info,
        groups=GROUPS,
        steps=next_steps(run, contents),
        charts=_charts(contents),
        spark=charts.spark,
        skeleton=run.skeleton,
        visibility=run.metadata["visibility"],
        confident=CONFIDENT,
        elapsed=_elapsed(run.info),
        changed=_changed_settings(run.info),
        made_at=now(),
    )


def next_steps(run: Run, contents: Contents) -> list[Step]:
    """What to do with this run now, most urgent first."""
    summary, figures = contents.summary, contents.figures
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
    if contents.evaluation is None:
        text = "Measure it: label a few hundred people, or take a labelled subset, and compare."
        steps.append(Step(text, f"annotator report {path} --gt COCO.json"))
    else:
        for advice in advise(contents.evaluation, run.place, contents.gt)[:3]:
            text = f"{advice.problem[:1].upper()}{advice.problem[1:]}: {advice.cost:.3f} of AP. "
            steps.append(Step(f"{text}{advice.remedy[:1].upper()}{advice.remedy[1:]}.", advice.command))
    if contents.signals.ranked_by:
        text = f"Look at the {contents.signals.shown:,} people in the order in which the run doubts them."
        steps.append(Step(text, f"annotator review load {path}"))
    command = f"annotator export {path} --format coco --to annotations.json"
    sure = contents.signals.sure
    if sure == figures.people:
        steps.append(Step("Write COCO annotations.", command))
    else:
        text = (
            f"Write COCO annotations. Without likely phantoms and duplicates they hold {sure:,} of the "
            f"{figures.people:,} people; look at the groups below before you leave anybody out."
        )
        steps.append(Step(text, f"{command} --drop phantoms,duplicates"))
    return steps


def _charts(contents: Contents) -> dict[str, Any]:
    figures, signals, evaluation = contents.figures, contents.signals, contents.evaluation
    drawn: dict[str, Any] = {
        "scores": charts.score_chart(figures.scores, "Histogram of person scores from 0 to 1"),
        "bbox_scores": charts.score_chart(
            figures.bbox_scores, "Histogram of box scores from 0 to 1", threshold=CONFIDENT
        ),
        "crowd": charts.class_chart(figures.crowd, "Histogram of people per picture"),
        "heights": charts.size_chart(figures.heights, "Histogram of person heights in pixels"),
        "spreads": [
            (spread, charts.score_chart(spread.histogram, f"Histogram: {spread.title}"))
            for spread in signals.spreads
        ],
        "curve": charts.review_chart(signals.curve) if signals.curve is not None else None,
    }
    if evaluation is not None:
        counts = evaluation["labelled_people"]["oks_histogram"]
        edges = [n / len(counts) for n in range(len(counts) + 1)]
        drawn["oks"] = charts.columns(
            counts,
            [f"OKS {low:.1f} to {high:.1f}" for low, high in pairwise(edges)],
            {len(counts) * share: f"{share:g}" for share in (0, 0.5, 1)},
            "Histogram of OKS of the labelled people who were found",
        )
    return drawn


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


def rate(value: float) -> str:
    """12.3, 0.039: one decimal, or as many as it takes for two figures that count."""
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def share(part: float, whole: float) -> str:
    """42%, 0.3%, 0%: never a 0 for something, never 100 for less than all."""
    if not whole or not part:
        return "0%"
    percent = 100 * part / whole
    if percent < 1 or 99 < percent < 100:
        return f"{min(99.9, max(0.1, percent)):.1f}%"
    return f"{percent:.0f}%"
