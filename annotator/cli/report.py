"""`annotator report`: a run in pictures and tables."""

from __future__ import annotations

from typing import Annotated

import typer


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="FILE", help="Where the page goes.", show_default="RUN/report.html"),
    ] = None,
    gt: Annotated[
        str | None,
        typer.Option(
            "--gt", metavar="COCO.json", help="Ground truth to evaluate against.", show_default=False
        ),
    ] = None,
    blur_faces: Annotated[
        bool, typer.Option("--blur-faces", help="Make the faces of everybody found unrecognisable.")
    ] = False,
    price_per_hour: Annotated[
        float | None,
        typer.Option(help="What an hour of one worker costs: the report says what the run did.", min=0),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write one HTML file that opens offline: what was run, figures, errors, and people with their joints.

    Beside it goes a data set card as Hugging Face reads it: README.md, with --to FILE.html FILE.README.md.

    It holds small copies of a few dozen of your pictures: share it as you would share them.
    """
    from annotator.cli import print_json
    from annotator.report.page import write_report
    from annotator.store.reader import Run
    from annotator.store.snapshot import Snapshot

    written = write_report(Snapshot(Run(run)), to, gt, blur_faces=blur_faces, price_per_hour=price_per_hour)
    if as_json:
        print_json(
            {
                "path": str(written.path),
                "card": str(written.card),
                "bytes": written.bytes,
                "pictures_missing": written.missing,
                **written.figures,
            }
        )
        return
    print(f"{written.path}: {written.bytes / 1e6:.1f} MB; open it in a browser")
    if written.missing:
        print(f"  {written.missing} pictures could not be shown: their sources are gone or changed")
