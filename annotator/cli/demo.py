"""`annotator demo`: everything once, on pictures and models of our own."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

# For tests and for those who work on the models.
Hidden = typer.Option(hidden=True)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for everything.")] = Path(
        "demo"
    ),
    pictures: Annotated[int, typer.Option(min=1, hidden=True)] = 40,
    seconds: Annotated[float, typer.Option(min=0.1, hidden=True)] = 3.0,
    pose: Annotated[str, Hidden] = "demo-pose",
    pose_weights: Annotated[str | None, Hidden] = None,
    detector: Annotated[str, Hidden] = "demo-detector",
    detector_weights: Annotated[str | None, Hidden] = None,
    executor: Annotated[Literal["ray", "inline"], typer.Option(help="Ray, or this process alone.")] = "ray",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make 40 pictures and a film of synthetic people, annotate, verify, evaluate, export and report them.

    Needs no network: the two small models come with the package.
    """
    from annotator.cli import print_json
    from annotator.demo import Demo, run_demo

    plan = Demo(out, pictures, seconds, pose, pose_weights, detector, detector_weights, executor)
    progress = sys.stderr if as_json else sys.stdout
    say = partial(print, end="", file=progress, flush=True)
    say(f"Everything is written to {out}/\n")
    evaluation = run_demo(plan, say)
    if as_json:
        print_json(plan.to_dict() | {"evaluation": evaluation})
    else:
        print(_what_next(plan.report, plan.annotations, plan.run / "instances"))


def _what_next(report: Path, annotations: Path, rows: Path) -> str:
    command = _command()
    wide = max(len(str(path)) for path in (report, annotations, rows)) + 3
    return "\n".join(
        [
            "",
            "Look at:",
            f"  {report!s:<{wide}}pictures, figures and what to do next, in a browser",
            f"  {annotations!s:<{wide}}COCO keypoints",
            f"  {rows!s:<{wide}}the rows, in Parquet",
            "",
            "Your own photos:",
            f"  {command} run PHOTOS --out RUN --pose vitpose-h",
            "      fetches the official weights once",
            f"  {command} run PHOTOS --out RUN --pose demo-pose --detector demo-detector",
            "      without a network; a try-out, since these two have only ever seen synthetic people",
        ]
    )


def _command() -> str:
    """How this program was called, as it can be typed here again."""
    called = Path(sys.argv[0])
    if called.name != "annotator":
        return "annotator"
    here = Path.cwd()
    return str(called.relative_to(here)) if called.is_relative_to(here) else str(called)
