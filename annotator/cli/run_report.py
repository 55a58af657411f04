"""The end of a run on the terminal, the same for `run` and `retry`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.durations import duration

if TYPE_CHECKING:
    from annotator.runtime.launch import RunReport
    from annotator.runtime.second_figures import SecondFigures


def describe(report: RunReport) -> str:
    """The end of a run as a person reads it, with what to do next."""
    totals, run = report.totals, report.run
    lines = [
        "",
        f"{run}: {'done' if report.images else 'finished before, nothing left to do'}.",
        f"  {totals.images:,} images: {totals.ok:,} with people, {totals.empty:,} without, "
        f"{totals.error:,} errors.",
        f"  {totals.people:,} people, {report.phantoms:,} of them likely phantoms (kept, but shown only when "
        f"asked for); {report.confident:,} with a box score of 0.3 or more.",
    ]
    if report.images:
        lines.append(
            f"  {report.images:,} images in {duration(report.seconds)}: "
            f"{report.images / report.seconds:.1f} images/s, {report.people / report.seconds:.1f} people/s. "
            f"Workers' time: {_shares(report.stages)}."
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


def _second(figures: SecondFigures) -> str:
    """One line on the second pose model."""
    if not figures.cascade:
        agreement = "not known" if figures.median_oks is None else f"OKS {figures.median_oks:.2f}"
        return (
            f"Second opinion: {figures.second} on the same boxes; median agreement with {figures.first} on "
            f"people with a box score of 0.3 or more: {agreement}."
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
