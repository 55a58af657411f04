"""`annotator calibrate`: from scores to probabilities, fitted on labelled people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Option = typer.Option


def calibrate(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Runs of the same model.", show_default=False)
    ],
    gt: Annotated[
        list[str] | None,
        Option(
            "--gt",
            metavar="COCO.json",
            help="Ground truth with keypoints, one for each RUN.",
            show_default=False,
        ),
    ] = None,
    reviews: Annotated[
        bool, Option("--reviews", help="Take what reviewers accepted and corrected for the truth.")
    ] = False,
    to: Annotated[Path, Option("--to", metavar="FILE.json", help="Where to write the calibration.")] = Path(
        "calibration.json"
    ),
    diagram: Annotated[
        Path | None,
        Option(
            metavar="FILE.png", help="Reliability diagram, PNG or SVG.", show_default="beside the calibration"
        ),
    ] = None,
    visibility: Annotated[
        bool,
        Option(
            "--visibility/--no-visibility",
            help="Fit v too: only where v of the ground truth is to be believed.",
        ),
    ] = True,
    as_json: Annotated[bool, Option("--json", help="Print the figures as one JSON object.")] = False,
) -> None:
    """Fit probabilities to keypoint scores, for `annotator run --calibration`.

    Says how far confidence is off (ECE) on images that were not used for the fit.
    """
    from annotator.cli import print_json
    from annotator.errors import UserError
    from annotator.quality.calibrate import calibrate as fit_runs
    from annotator.quality.diagram import draw_reliability
    from annotator.store.reader import Run
    from annotator.store.snapshot import Snapshot

    if bool(gt) == reviews:
        raise UserError("calibrate needs one truth: --gt COCO.json for each run, or --reviews")
    done = fit_runs([Snapshot(Run(run)) for run in runs], gt or None, visibility)
    _write(to, done.calibration.to_json())
    picture = diagram or to.with_suffix(".png")
    draw_reliability(picture, done.raw, done.held_out)
    if as_json:
        print_json({"calibration": str(to), "diagram": str(picture), **done.calibration.about})
    else:
        print(_describe(done.calibration.about, to, picture))


def _describe(about: Any, to: Path, picture: Path) -> str:
    lines = [
        f"{about['joints']:,} labelled joints of {about['people']:,} people in {about['images']:,} images; "
        f"{about['right']:.0%} are right.",
        "",
        f"  {'':<34}{'ECE':>8}{'AUROC of wrong joints':>24}",
    ]
    for name, key in (("raw score", "raw"), ("probability, images not in the fit", "held_out")):
        figures = about[key]
        worth = "-" if figures["auroc"] is None else f"{figures['auroc']:.3f}"
        lines.append(f"  {name:<34}{figures['ece']:>8.3f}{worth:>24}")
    if "visibility" in about:
        lines += ["", f"  {'v, images not in the fit':<34}{'precision':>20}{'recall':>20}"]
        before, after = about["visibility"]["score_thresholds"], about["visibility"]["held_out"]
        for kind in after:
            shown = (f"{before[kind][n]:.2f} -> {after[kind][n]:.2f}" for n in ("precision", "recall"))
            lines.append(f"  {kind:<34}" + "".join(f"{text:>20}" for text in shown))
    return "\n".join(
        [
            *lines,
            "",
            f"{to} and {picture} written. It holds for pictures like these: on others, expect an ECE several",
            "times as large, and calibrate on some of them.",
            "",
            "Next:",
            f"  annotator run INPUT... --out NEW --calibration {to}",
        ]
    )


def _write(path: Path, text: str) -> None:
    from annotator.errors import UserError

    try:
        path.write_text(text)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
