"""Which people to look at first: the average rank of a few signals, nothing trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from annotator.errors import UserError
from annotator.quality.curve import BAD_BELOW, ReviewCurve, review_curve
from annotator.quality.labelled import Labelled, scalar_column
from annotator.quality.shown import COLUMNS as SHOWN_COLUMNS
from annotator.quality.shown import shown
from annotator.store.reader import Run

# What people can be ranked by, and whether more of it is better. "score" is the mean of the keypoint scores.
SIGNALS = {
    "score": ("pose_score", True),
    "entropy": ("entropy", False),
    "flip": ("flip_oks", True),
    "person": ("person_score", True),
    "second": ("second_oks", True),
    "bones": ("bone_outliers", False),
}
DEFAULT = ("score", "entropy", "flip")


@dataclass(frozen=True, slots=True)
class Queue:
    """The people of a run, N in the order of its rows.

    Attributes:
        ids, images: (N,) int64, instances.id and image_id.
        shown: (N,) bool: those who are ranked; the others are likely phantoms and doubles.
        risk: (N,) float32, mean rank of the signals among those shown, 0 best to 1 worst; NaN for others.
        signals: what it was ranked by; signals that the run lacks are left out.
    """

    ids: np.ndarray
    images: np.ndarray
    shown: np.ndarray
    risk: np.ndarray
    signals: tuple[str, ...]

    @property
    def order(self) -> np.ndarray:
        """(M,) places of those shown, worst first; equal ones in the order of the rows."""
        ranked = np.flatnonzero(self.shown)
        return ranked[np.argsort(-self.risk[ranked], kind="stable")]

    def against(self, labelled: Labelled, bad_below: float = BAD_BELOW) -> ReviewCurve:
        """What the order is worth, of those shown who are somebody in the ground truth.

        Args:
            bad_below: OKS under which a label is bad.

        Raises:
            NothingToFindError: nobody of them is bad, or everybody.
        """
        known = labelled.matched & labelled.judged & self.shown
        return review_curve(self.risk[known], labelled.oks[known] < bad_below, self.images[known])


def rank(run: Run, signals: Sequence[str] = DEFAULT, everybody: bool = False) -> Queue:
    """Rank the people of a run, those to look at first first.

    Args:
        signals: of `SIGNALS`.
        everybody: rank likely phantoms and doubles too.

    Raises:
        UserError: an unknown signal, or a run that has none of those asked for.
    """
    unknown = [name for name in signals if name not in SIGNALS]
    if unknown:
        raise UserError(f"no signal {unknown[0]!r} to rank by; there are {', '.join(SIGNALS)}")
    ids, images, seen = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, bool)]
    for batch in run.instances(["id", "image_id", *SHOWN_COLUMNS]):
        ids.append(batch["id"].to_numpy())
        images.append(batch["image_id"].to_numpy())
        seen.append(np.ones(batch.num_rows, bool) if everybody else shown(batch))
    ranked = np.concatenate(seen)
    ranks, used = [], []
    for name in signals:
        column, more_is_better = SIGNALS[name]
        values = scalar_column(run, column)[ranked]
        if np.isfinite(values).any():
            ranks.append(mean_rank(-values if more_is_better else values))
            used.append(name)
    if not ranks and ranked.any():
        raise UserError(
            f"{run.place} has none of {', '.join(signals)}: its rows are of a version without signals. "
            "Run it again, or rank by something it has"
        )
    risk = np.full(len(ranked), np.nan, np.float32)
    risk[ranked] = np.mean(ranks, axis=0) if ranks else 0
    return Queue(np.concatenate(ids), np.concatenate(images), ranked, risk, tuple(used))


def mean_rank(values: np.ndarray) -> np.ndarray:
    """(N,) in [0, 1]: the share of values that are lower, equal ones by half; 0.5 for what is no number."""
    good = np.isfinite(values)
    ordered = np.sort(values[good])
    low, high = (np.searchsorted(ordered, values[good], side) for side in ("left", "right"))
    ranks = np.full(len(values), 0.5)
    ranks[good] = (low + high) / (2 * max(len(ordered), 1))
    return ranks


def as_table(run: Run, queue: Queue) -> pa.Table:
    """The queue as rows, worst first: place from 1, id, image_id, file_name, risk and what it comes from."""
    order = queue.order
    names = {}
    for batch in run.images(["image_id", "file_name"]):
        names.update(zip(batch["image_id"].to_pylist(), batch["file_name"].to_pylist(), strict=True))
    images = queue.images[order]
    columns: dict[str, pa.Array] = {
        "place": pa.array(np.arange(1, len(order) + 1)),
        "id": pa.array(queue.ids[order]),
        "image_id": pa.array(images),
        "file_name": pa.array([names[image] for image in images.tolist()], pa.string()),
        "risk": pa.array(queue.risk[order]),
    }
    for name in queue.signals:
        values = scalar_column(run, SIGNALS[name][0])[order]
        columns[SIGNALS[name][0]] = pa.array(values.astype(np.float32), from_pandas=True)
    for name in ("duplicate_of", "likely_swap"):
        chunks = [batch[name] for batch in run.instances([name])]
        kind = pa.int64() if name == "duplicate_of" else pa.bool_()
        columns[name] = pa.chunked_array(chunks, kind).combine_chunks().take(pa.array(order))
    return pa.table(columns)
