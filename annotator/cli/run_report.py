"""The end of a run on the terminal, the same for `run` and `retry`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from annotator.durations import duration
from annotator.quality.shown import CONFIDENT

if TYPE_CHECKING:
    from annotator.runtime.run_report import RunReport
    from annotator.runtime.second_figures import SecondFigures


def to_json(report: RunReport, price_per_hour: float | None = None) -> dict[str, Any]:
    """The same for programs."""
    figures = report.efficiency
    return asdict(report) | {
        "exit_code": report.exit_code,
        "efficiency": None if figures is None else figures.to_dict() | _costs(report, price_per_hour),
    }


def describe(report: RunReport, price_per_hour: float | None = None) -> str:
    """The end of a run as a person reads it, with what to do next.

    Args:
        price_per_hour: of one worker, in any currency.
    """
    totals, run = report.totals, report.run
    lines = [
        "",
        f"{run}: {'done' if report.finished else 'finished before, nothing left to do'}.",
        f"  {totals.images:,} images: {totals.ok:,} with people, {totals.empty:,} without, "
        f"{totals.error:,} errors.",
        f"  {totals.people:,} people: {report.confident:,} with a box score of {CONFIDENT} or more; "
        f"{report.phantoms:,} likely phantoms, which review shows apart and `--drop phantoms` leaves out.",
    ]
    if report.images:
        lines.append(
            f"  {report.images:,} images in {duration(report.seconds)}: "
            f"{report.images / report.seconds:.1f} images/s, "
            f"{report.people / report.seconds:.1f} people/s kept. Workers' time: {_shares(report.stages)}."
        )
    if report.efficiency is not None:
        from annotator.runtime.efficiency import describe as describe_efficiency

        lines.append(f"  {describe_efficiency(report.efficiency)}")
        costs = _costs(report, price_per_hour)
        if costs:
            lines.append(
                f"  Cost at {price_per_hour:g} an hour and worker: {costs['cost_per_1000_people']:.4g} "
                f"per 1,000 people, {costs['cost_of_plan']:.4g} for all {report.totals.items:,} inputs."
            )
    if report.second is not None:
        lines.append(f"  {_second(report.second)}")
    lines += [f"  {note}" for note in report.notes]
    if totals.errors:
        lines.append("  Errors (their rows in images/ say more):")
        for kind, count in totals.errors.items():
            lines.append(f"  {count:>9,}  {kind:<24} e.g. {report.examples.get(kind, '')}".rstrip())
    lines += [
        "",
        "Next:",
        f"  annotator report {run}",
        f"  annotator verify {run}",
        f"  annotator export {run} --format coco --to annotations.json",
        f"  annotator eval {run} --gt COCO.json",
    ]
    return "\n".join(lines)


def _costs(report: RunReport, price_per_hour: float | None) -> dict[str, float]:
    figures = report.efficiency
    if figures is None or price_per_hour is None:
        return {}
    return {
        "price_per_hour": price_per_hour,
        "cost_per_1000_people": figures.cost_per_1000_people(price_per_hour) or 0.0,
        "cost_of_plan": figures.cost_of(report.totals.items, price_per_hour),
    }


def _second(figures: SecondFigures) -> str:
    """One line on the second pose model."""
    if not figures.cascade:
        agreement = "not known" if figures.median_oks is None else f"OKS {figures.median_oks:.2f}"
        return (
            f"Second opinion: {figures.second} on the same boxes; median agreement with {figures.first} on "
            f"people with a box score of {CONFIDENT} or more: {agreement}."
        )
    share = figures.second_people / max(1, figures.first_people)
    text = (
        f"Cascade: {figures.second} posed {figures.second_people:,} of {figures.first_people:,} people "
        f"({share:.0%})"
    )
    if figures.saved is None:
        return f"{text}; the others are {figures.first}'s."
    alone = duration(figures.second_seconds / figures.second_people * figures.first_people)
    both = duration(figures.first_seconds + figures.second_seconds)
    saved = f"{figures.second} alone, about {alone}: {figures.saved:.0%} saved"
    return f"{text} in {both} for both models; {saved}."


def _shares(stages: dict[str, float]) -> str:
    total = sum(stages.values())
    if total <= 0:
        return "not measured"
    return ", ".join(f"{name} {100 * seconds / total:.0f}%" for name, seconds in stages.items())
