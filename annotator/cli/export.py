"""`annotator export`: a run in other people's formats."""

from __future__ import annotations

from typing import Annotated

import typer


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)],
    to: Annotated[str, typer.Option("--to", metavar="PATH", help="File to write.", show_default=False)],
    format_name: Annotated[
        str, typer.Option("--format", help="coco, coco-results, smoothed or overlay-video.")
    ] = "coco",
    min_score: Annotated[float, typer.Option(help="Leave out people whose score is lower.")] = 0.0,
    reviewed: Annotated[
        str | None,
        typer.Option(
            metavar="accepted|all", help="With what `review pull` brought back merged in.", show_default=False
        ),
    ] = None,
    smooth: Annotated[
        bool, typer.Option("--smooth", help="Videos: joints smoothed over time, raw ones beside.")
    ] = False,
) -> None:
    """Write the people of a run as a COCO annotation file, COCO results, smoothed rows or a film."""
    from annotator.errors import UserError
    from annotator.export import FORMATS
    from annotator.store.reader import Run

    if format_name not in FORMATS:
        raise UserError(f"--format {format_name}: known formats are {', '.join(FORMATS)}")
    source = Run(run)
    if reviewed is not None:
        from annotator.review.reviewed import ReviewedRun

        source = ReviewedRun(source, reviewed)
    written = FORMATS[format_name](source, to, min_score=min_score, smooth=smooth)
    print(f"{to}: {written.images:,} images, {written.people:,} people")
