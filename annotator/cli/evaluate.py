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
) -> None:
    """COCO keypoint and box AP of a run (pycocotools, person category)."""
    import json

    from annotator.cli import print_json
    from annotator.evaluate.coco import evaluate as evaluate_run
    from annotator.store.reader import Run

    figures = evaluate_run(Run(run), gt)
    if json_to == "-":
        print_json(figures)
        return
    if json_to is not None:
        Path(json_to).write_text(json.dumps(figures, indent=2) + "\n")
    print(_describe(run, gt, figures))


def _describe(run: str, gt: str, figures: dict) -> str:
    """The figures as a table for people."""
    lines = [
        f"{run} against {gt}",
        f"  {figures['images']:,} images, {figures['people']:,} people, {figures['gt_people']:,} in truth",
    ]
    for kind in ("keypoints", "bbox"):
        values = {name: "-" if value is None else f"{value:.4f}" for name, value in figures[kind].items()}
        lines += [
            "",
            f"  {kind:<10}" + "".join(f"{name:>8}" for name in values),
            " " * 12 + "".join(f"{value:>8}" for value in values.values()),
        ]
    nms = figures["nms"]
    if nms["left_out"]:
        lines += ["", f"  {nms['left_out']:,} near-duplicate people left out (OKS over {nms['threshold']})"]
    matching = figures["matching"]
    lines += ["", f"  images matched by {matching['by'].replace('_', ' ')}: {matching['matched']:,}"]
    if matching["unmatched"]:
        examples = ", ".join(matching["unmatched_examples"])
        lines.append(f"  {matching['unmatched']:,} images of the run are not in the truth: {examples} ...")
    if matching["gt_images_not_in_run"]:
        lines.append(f"  {matching['gt_images_not_in_run']:,} images of the truth are not in the run")
    if matching["other_names"]:
        examples = ", ".join(matching["other_names_examples"])
        lines.append(
            f"  {matching['other_names']:,} images have the same id but another name: {examples} ..."
        )
    return "\n".join(lines)
