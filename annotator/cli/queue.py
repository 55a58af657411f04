"""`annotator queue`: what a person should look at first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from annotator.quality.curve import ReviewCurve
    from annotator.quality.missed import MissedImage

Option = typer.Option

# What was measured on labelled photos (docs/quality.md); said until a run has its own curve.
PROMISE = (
    "Measured on COCO photos with a small model: of the labels with an OKS under 0.75, the worst 20% held\n"
    "  at least half and the worst 30% at least 70%; the best half still held up to 7% bad ones. With --gt,\n"
    "  or --reviews after a review, this prints what holds for this run."
)


def queue(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)],
    by: Annotated[
        str, Option(metavar="SIGNALS", help="What to rank by, with commas: score, entropy, flip, ...")
    ] = "score,entropy,flip",
    everybody: Annotated[
        bool, Option("--all", help="Rank likely phantoms and suppressed doubles too.")
    ] = False,
    top: Annotated[int, Option(min=0, help="People and images to print.")] = 15,
    to: Annotated[
        Path | None,
        Option(metavar="FILE.parquet", help="Write the whole queue, one row a person.", show_default=False),
    ] = None,
    gt: Annotated[
        str | None,
        Option("--gt", metavar="COCO.json", help="Ground truth: draw the review curve.", show_default=False),
    ] = None,
    reviews: Annotated[
        bool, Option("--reviews", help="Draw the review curve from what was reviewed so far.")
    ] = False,
    bad_below: Annotated[float, Option(min=0, max=1, help="OKS under which a label is bad.")] = 0.75,
    curve: Annotated[
        Path | None,
        Option(metavar="FILE.png", help="Where to draw the review curve.", show_default=False),
    ] = None,
    pace: Annotated[
        float | None,
        Option(
            metavar="SECONDS",
            min=0,
            help="Time a person takes.",
            show_default="measured in the reviews",
        ),
    ] = None,
    other: Annotated[
        str | None,
        Option(
            metavar="RUN",
            help="Look for missed people among those of another run of the same images.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Rank people, those whose labels are most likely bad first, and images in which people are missed."""
    from annotator.cli import print_json
    from annotator.errors import UserError
    from annotator.quality.curve import NothingToFindError
    from annotator.quality.diagram import draw_curve
    from annotator.quality.missed import probably_missed
    from annotator.quality.queue import as_table, rank
    from annotator.quality.reviewed import seconds_a_person, undecided
    from annotator.store.reader import Run
    from annotator.store.snapshot import Snapshot

    if curve is not None and gt is None and not reviews:
        raise UserError(f"--curve {curve}: a curve needs a truth to be drawn against: --gt, or --reviews")
    opened = Snapshot(Run(run))
    ranked = rank(opened, tuple(by.split(",")), everybody)
    table = as_table(opened, ranked)
    missed = probably_missed(opened, Snapshot(Run(other)) if other else None)
    judged, no_curve = None, None
    try:
        judged = _curve(opened, ranked, gt, reviews, bad_below)
    except NothingToFindError as error:
        no_curve = str(error)
    if to is not None:
        _write(to, table)
    if judged is not None and curve is not None:
        draw_curve(curve, judged.shares, judged.found, judged.low, judged.high, judged.base_rate)
    seconds = pace if pace is not None else seconds_a_person(opened)
    left = undecided(opened, ranked)
    if as_json:
        print_json(_json(table, missed, judged, no_curve, seconds, left, top))
    else:
        hidden = len(ranked.shown) - table.num_rows
        text = _describe(
            run, table, hidden, ranked.signals, missed, judged, no_curve, seconds, left, top, other
        )
        print(text)


def _curve(run: Any, ranked: Any, gt: str | None, reviews: bool, bad_below: float) -> ReviewCurve | None:
    from annotator.errors import UserError
    from annotator.quality.curve import review_curve
    from annotator.quality.labelled import label
    from annotator.quality.reviewed import verdicts

    if gt is not None and reviews:
        raise UserError("--gt and --reviews: choose one truth for the curve")
    if gt is not None:
        return ranked.against(label(run, gt), bad_below)
    if not reviews:
        return None
    known, bad = verdicts(run, bad_below)
    known = known & ranked.shown
    return review_curve(ranked.risk[known], bad[known], ranked.images[known])


def _write(path: Path, table: Any) -> None:
    import pyarrow.parquet as pq

    from annotator.errors import UserError

    try:
        pq.write_table(table, path, compression="zstd")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def _json(
    table: Any,
    missed: list[MissedImage],
    judged: ReviewCurve | None,
    no_curve: str | None,
    seconds: float | None,
    left: int,
    top: int,
) -> dict[str, Any]:
    from dataclasses import asdict

    truth = None
    if judged is not None:
        truth = {
            "people": judged.people,
            "bad": judged.bad,
            "images": judged.images,
            "base_rate": judged.base_rate,
            "auroc": judged.auroc,
            "at": [asdict(one) | {"of_ceiling": one.of_ceiling} for one in judged.at],
        }
    return {
        "people": table.num_rows,
        "undecided": left,
        "seconds_a_person": seconds,
        "minutes_left": None if seconds is None else seconds * left / 60,
        "queue": table.slice(0, top).to_pylist(),
        "missed_images": len(missed),
        "missed": [asdict(one) for one in missed[:top]],
        "curve": truth,
        "no_curve": no_curve,
    }


def _describe(
    run: str,
    table: Any,
    hidden: int,
    signals: tuple[str, ...],
    missed: list[MissedImage],
    judged: ReviewCurve | None,
    no_curve: str | None,
    seconds: float | None,
    left: int,
    top: int,
    other: str | None,
) -> str:
    lines = [
        f"{run}: {table.num_rows:,} people by {', '.join(signals)}; the worst {min(top, table.num_rows)}:"
    ]
    if hidden:
        lines.append(
            f"  ({hidden:,} likely phantoms and suppressed doubles are not ranked; --all ranks them)"
        )
    lines += ["", f"  {'':>6}  {'risk':>5}  {'id':>16}  file"]
    for row in table.slice(0, top).to_pylist():
        note = "  again " + str(row["duplicate_of"]) if row["duplicate_of"] is not None else ""
        note += "  left and right?" if row["likely_swap"] else ""
        lines.append(f"  {row['place']:>6,}  {row['risk']:>5.2f}  {row['id']:>16}  {row['file_name']}{note}")
    source = f"found in {other}" if other else "detections below the limit of those shown"
    lines += ["", f"Images where somebody is probably missed ({source}): {len(missed):,}"]
    for place, one in enumerate(missed[:top], 1):
        lines.append(f"  {place:>6,}  {one.strongest:>5.2f}  {one.candidates:>3} candidates  {one.file_name}")
    lines += ["  Whom no detector found is in neither list.", ""]
    lines += _curve_lines(judged) if judged is not None else [f"  {no_curve or PROMISE}"]
    if seconds is not None:
        times = ", ".join(
            f"worst {share:.0%}: {seconds * min(left, round(share * table.num_rows)) / 60:,.0f} min"
            for share in (0.2, 0.3)
        )
        lines += [
            "",
            f"At {seconds:.0f} s a person: {seconds * left / 60:,.0f} min for the {left:,} undecided; "
            f"{times}.",
        ]
    return "\n".join(lines)


def _curve_lines(judged: ReviewCurve) -> list[str]:
    middle, low, high = judged.auroc
    lines = [
        f"{judged.bad:,} of {judged.people:,} labels with truth are bad (base rate {judged.base_rate:.0%}), "
        f"in {judged.images:,} images. AUROC {middle:.3f} [{low:.2f}-{high:.2f}].",
        f"  {'worst':>8}{'hold of the bad':>18}{'95% interval':>16}{'ceiling':>10}{'of ceiling':>12}",
    ]
    for one in judged.at:
        interval = f"{one.low:.0%}-{one.high:.0%}"
        lines.append(
            f"  {one.share:>8.0%}{one.found:>18.0%}{interval:>16}{one.ceiling:>10.0%}{one.of_ceiling:>12.0%}"
        )
    return lines
