"""Whom an export is of: everybody, those whom a review left, those whom the run itself does not doubt."""

from __future__ import annotations

from dataclasses import dataclass

from annotator.errors import UserError
from annotator.export.doubtful import RunWithout, columns_of
from annotator.quality.shown import COLUMNS as SHOWN_COLUMNS
from annotator.store.reader import Run


@dataclass(frozen=True, slots=True)
class Selected:
    """A run as an export reads it, and who of it is left out.

    Attributes:
        run: to be read.
        unseen: with "accepted", how many accepted people are without keypoints (`ReviewedRun.unseen`).
    """

    run: Run
    unseen: int | None = None

    @property
    def dropped(self) -> int | None:
        """How many people the last reading of `run` has left out as doubtful; None: nobody was to be."""
        return self.run.left_out if isinstance(self.run, RunWithout) else None


def selected(run: Run, drop: str = "", reviewed: str | None = None, smooth: bool = False) -> Selected:
    """Whom to export.

    Args:
        drop: kinds of `doubtful.KINDS` to leave out, with commas; people whom somebody has looked at stay.
        reviewed: "accepted" or "all": with the reviews merged in, as `ReviewedRun` says. With "accepted" who
            is not shown in a review unless asked (`quality.shown`) is left out as well, if nobody decided
            about her: who accepts an image has not seen her.
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

        return Selected(SmoothedRun(run))
    unseen, decided = None, []
    if reviewed is not None:
        from annotator.store.reviewed import ReviewedRun

        run = ReviewedRun(run, reviewed)
        unseen = run.unseen if reviewed == "accepted" else None
        decided = [person for person, review in run.reviews.items() if review.says_something]
    columns = columns_of(run, drop.split(","), decided) if drop else ()
    if reviewed == "accepted":
        columns = tuple(dict.fromkeys((*columns, *SHOWN_COLUMNS)))
    return Selected(RunWithout(run, columns, decided) if columns else run, unseen)
