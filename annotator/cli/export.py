"""`annotator export`: a run in other people's formats."""

from __future__ import annotations

from typing import Annotated

import typer


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)],
    to: Annotated[str, typer.Option("--to", metavar="PATH", help="File to write.", show_default=False)],
    format_name: Annotated[str, typer.Option("--format", help="coco or coco-results.")] = "coco",
    min_score: Annotated[float, typer.Option(help="Leave out people whose score is lower.")] = 0.0,
) -> None:
    """Write the people of a run as a COCO annotation file or as COCO results."""
    from annotator.errors import UserError
    from annotator.export import FORMATS
    from annotator.store.reader import Run

    if format_name not in FORMATS:
        raise UserError(f"--format {format_name}: known formats are {', '.join(FORMATS)}")
    written = FORMATS[format_name](Run(run), to, min_score=min_score)
    print(f"{to}: {written.images:,} images, {written.people:,} people")
