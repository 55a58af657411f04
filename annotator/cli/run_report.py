"""The end of a run on the terminal, the same for `run` and `retry`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.runtime.progress import duration

if TYPE_CHECKING:
    from annotator.runtime.launch import RunReport


def describe(report: RunReport) -> str:
    """The end of a run as a person reads it, with what to do next."""
    totals, run = report.totals, report.run
    lines = [
        "",
        f"{run}: {'done' if report.images else 'finished before, nothing left to do'}.",
        f"  {totals.images:,} images: {totals.ok:,} with people, {totals.empty:,} without, "
        f"{totals.error:,} errors.",
        f"  {totals.people:,} people, {report.confident:,} of them with a box score of 0.3 or more.",
    ]
    if report.images:
        lines.append(
            f"  {report.images:,} images in {duration(report.seconds)}: "
            f"{report.images / report.seconds:.1f} images/s, {report.people / report.seconds:.1f} people/s. "
            f"Workers' time: {_shares(report.stages)}."
        )
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


def _shares(stages: dict[str, float]) -> str:
    total = sum(stages.values())
    if total <= 0:
        return "not measured"
    return ", ".join(f"{name} {100 * seconds / total:.0f}%" for name, seconds in stages.items())
