"""`annotator eval`: a run against ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)],
    gt: Annotated[
        str,
        typer.Option("--gt", metavar="COCO.json", help="Ground truth with keypoints.", show_default=False),
    ],
    json_to: Annotated[
        str | None,
        typer.Option("--json", metavar="[FILE]", help="Print one JSON object, or write it to FILE.json."),
    ] = None,
    oracle: Annotated[
        bool, typer.Option("--oracle", help="COCO's figures by pycocotools itself: the same, slower.")
    ] = False,
) -> None:
    """COCO keypoint and box AP of a run, who was missed, which joints are wrong, how, and what it costs."""
    import json

    from annotator.cli import print_json
    from annotator.errors import UserError
    from annotator.evaluate.evaluation import evaluate as evaluate_run
    from annotator.store.reader import Run
    from annotator.store.snapshot import Snapshot

    figures = evaluate_run(Snapshot(Run(run)), gt, engine="pycocotools" if oracle else "hotcoco")
    if json_to == "-":
        print_json(figures)
        return
    from annotator.cli.evaluation_tables import show

    # First, so that a file that cannot be written does not cost the figures.
    show(run, gt, figures)
    if json_to is not None:
        try:
            Path(json_to).write_text(json.dumps(figures, indent=2) + "\n")
        except OSError as error:
            raise UserError(f"cannot write --json {json_to}: {error.strerror}") from None
