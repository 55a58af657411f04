"""What the run itself says about how far to trust its people, and how much its queue finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from annotator.errors import UserError
from annotator.quality.curve import ReviewCurve
from annotator.quality.labelled import label
from annotator.quality.queue import Queue, rank
from annotator.quality.shown import shown
from annotator.report.figures import Histogram
from annotator.store.reader import Run

_COLUMNS = (
    "likely_phantom", "nms_suppressed", "duplicate_of", "likely_swap", "bone_outliers", "joints_outside_box",
    "flip_oks", "person_score", "second_oks",
)  # fmt: skip

# Title, what it means, and who of a batch has it: by column, and from which value on. The first three are
# counted among all people, the others among those of whom these do not speak.
FLAGS = (
    ("Likely nobody", "box and joint scores together are low; hidden unless asked for", "likely_phantom", 1),
    ("Doubles", "OKS over 0.9 with a better person; hidden unless asked for", "nms_suppressed", 1),
    ("Possible doubles", "OKS over 0.4 with a better person", "duplicate_of", 0),
    ("Left and right exchanged", "likely, of the whole body or a part", "likely_swap", 1),
    ("Bones out of proportion", "one or more longer than the others allow", "bone_outliers", 1),
    ("Joints outside the box", "three or more", "joints_outside_box", 3),
)
OF_ALL = 3
_SPREADS = {
    "flip_oks": ("Agreement with the mirror image", "OKS of a crop's pose and its mirror image's."),
    "person_score": ("Sure that somebody is there", "Mean of box score and joint scores."),
    "second_oks": ("Agreement with the second model", "OKS between both models on the same box."),
}


@dataclass(slots=True)
class Spread:
    """How one signal is spread over the people: title, what it is, histogram from 0 to 1."""

    title: str
    about: str
    histogram: Histogram = field(default_factory=Histogram.of_scores)


@dataclass(frozen=True, slots=True)
class Signals:
    """Signals of a run.

    Attributes:
        flags: (title, about, people that have it, of how many); those that the rows do not know are left out.
        spreads: of the people shown. shown: how many are neither likely phantoms nor doubles.
        sure: those of them who are no possible doubles either.
        ranked_by: signals of the queue. curve: of the queue against the truth, None without.
        no_curve: why there is none although there is a truth.
    """

    flags: list[tuple[str, str, int, int]]
    spreads: list[Spread]
    shown: int
    sure: int
    ranked_by: tuple[str, ...]
    curve: ReviewCurve | None = None
    no_curve: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        document: dict[str, Any] = {
            "shown": self.shown,
            "flags": {title: count for title, _, count, _ in self.flags},
            "ranked_by": list(self.ranked_by),
        }
        if self.curve is not None:
            document["queue"] = {
                "people": self.curve.people,
                "bad": self.curve.bad,
                "found": {f"{at.share:g}": at.found for at in self.curve.at},
            }
        return document


def queue_of(run: Run) -> Queue | None:
    """The queue of a run; None where its rows have no signals to rank by (schema 1.0)."""
    try:
        return rank(run)
    except UserError:
        return None


def collect_signals(run: Run, queue: Queue | None, gt: str | Path | None) -> Signals:
    """Count signals, and draw the curve of the queue if there is ground truth.

    Raises:
        UserError: the ground truth does not fit.
    """
    counts: dict[str, int] = {}
    spreads = {column: Spread(title, about) for column, (title, about) in _SPREADS.items()}
    everybody = visible = sure = 0
    for batch in run.instances(list(_COLUMNS)):
        seen = shown(batch)
        everybody, visible = everybody + len(seen), visible + int(seen.sum())
        sure += int((seen & batch["duplicate_of"].is_null().to_numpy(zero_copy_only=False)).sum())
        for place, (title, _, column, least) in enumerate(FLAGS):
            values = batch[column]
            if values.null_count < len(values) or column == "duplicate_of":
                number = np.asarray(values.cast("double").to_numpy(zero_copy_only=False), float)
                has = (np.nan_to_num(number, nan=-1) >= least) & (seen | (place < OF_ALL))
                counts[title] = counts.get(title, 0) + int(has.sum())
        for column, spread in spreads.items():
            values = np.asarray(batch[column].to_numpy(zero_copy_only=False), float)
            spread.histogram.add(values[seen & np.isfinite(values)])
    known = "Likely nobody" in counts
    curve, why = None, ""
    if gt is not None and queue is not None:
        try:
            curve = queue.against(label(run, gt))
        except UserError as error:
            why = str(error)
    return Signals(
        flags=[
            (title, about, counts[title], everybody if place < OF_ALL else visible)
            for place, (title, about, *_) in enumerate(FLAGS)
            if known and title in counts
        ],
        spreads=[spread for spread in spreads.values() if spread.histogram.total],
        shown=visible,
        sure=sure,
        ranked_by=queue.signals if queue is not None else (),
        curve=curve,
        no_curve=why,
    )
