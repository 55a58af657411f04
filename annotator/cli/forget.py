"""`annotator forget`: an input and all that was made from it leave a run."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from annotator.cli.review import DatabaseDir


def forget(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder, finished.", show_default=False)],
    source: Annotated[
        list[str],
        typer.Option(
            metavar="PATTERN",
            help="Name of an input or of a folder around it, as in the columns uri and file_name, or a "
            "pattern in quotes; may be given several times.",
            show_default=False,
        ),
    ],
    database_dir: DatabaseDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Remove inputs from every layer of RUN: plan, rows, tracks, reviews, copies, logs, report; for good."""
    from annotator.cli import print_json
    from annotator.privacy.forget import forget as forget_source

    done = forget_source(run, source, lambda text: print(text, file=sys.stderr, flush=True), database_dir)
    if as_json:
        print_json(done.to_dict())
        return
    print(
        f"{run}: forgot {done.inputs:,} inputs: {done.items:,} rows, {done.people:,} people, "
        f"{done.reviews:,} reviews; {done.shards:,} shards were written anew."
    )
    if done.samples or done.copies:
        print(f"  removed from its review: {done.samples:,} samples and {done.copies:,} copies of pictures")
    if done.removed:
        print(f"  removed, to be made again: {', '.join(done.removed)}")
    if done.left:
        print(f"  these files still name it and are not this program's: {', '.join(done.left)}")
    print(f"  Exports and copies elsewhere are not touched. Proof: annotator verify {run}")
