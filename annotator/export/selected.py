"""Whom an export is of: everybody, those whom a review left, those whom the run itself does not doubt."""

from __future__ import annotations

from annotator.errors import UserError
from annotator.export.doubtful import RunWithout
from annotator.store.reader import Run


def selected(run: Run, drop: str = "", reviewed: str | None = None, smooth: bool = False) -> Run:
    """A run as an export reads it.

    Args:
        drop: kinds of `doubtful.KINDS` to leave out, with commas; people whom somebody has looked at stay.
        reviewed: "accepted" or "all": with the reviews merged in, as `ReviewedRun` says.
        smooth: with joints smoothed over time, as `SmoothedRun` says.

    Raises:
        UserError: no such kind or choice, smoothing with one of them, or nothing of the kind in the run.
    """
    if drop and smooth:
        raise UserError("--drop: smoothing is of everybody who was followed; leave out --smooth, or --drop")
    if reviewed is not None and smooth:
        raise UserError("--reviewed: what people decided is not smoothed; leave out --smooth, or --reviewed")
    if smooth:
        from annotator.tracks.smoothed import SmoothedRun

        return SmoothedRun(run)
    decided: list[int] = []
    if reviewed is not None:
        from annotator.review.reviewed import ReviewedRun

        run = ReviewedRun(run, reviewed)
        decided = [person for person, review in run.reviews.items() if review.says_something]
    return RunWithout(run, drop.split(","), decided) if drop else run
