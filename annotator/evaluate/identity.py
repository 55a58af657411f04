"""How well identities are kept over a film: IDF1 and identity switches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Identities:
    """One frame: ids (N,) int64 and boxes (N, 4) float64 [x, y, w, h]."""

    ids: np.ndarray
    bboxes: np.ndarray


@dataclass(frozen=True, slots=True)
class IdentityScores:
    """Identities compared.

    Attributes:
        idf1: F1 of the people who bear the right identity, under the best one-to-one assignment of
            predicted to true identities over the whole film (Ristani et al. 2016).
        precision, recall: the same, of what was predicted and of what is true.
        switches: times that a true person, where matched, is somebody else than when last matched.
    """

    idf1: float
    precision: float
    recall: float
    switches: int


def identity_scores(
    frames: Iterable[tuple[Identities, Identities]], least_iou: float = 0.5
) -> IdentityScores:
    """Compare true and predicted identities frame by frame.

    Args:
        frames: (truth, prediction) of each frame.
        least_iou: of boxes that may be the same person.
    """
    from scipy.optimize import linear_sum_assignment

    together: dict[tuple[int, int], int] = {}
    true_total = predicted_total = switches = 0
    last: dict[int, int] = {}
    for truth, found in frames:
        true_total += len(truth.ids)
        predicted_total += len(found.ids)
        iou = _iou(truth.bboxes, found.bboxes)
        for a, b in np.argwhere(iou >= least_iou).tolist():
            pair = int(truth.ids[a]), int(found.ids[b])
            together[pair] = together.get(pair, 0) + 1
        # For switches a match that still holds is kept, as in CLEAR MOT; the rest go by overlap.
        kept = np.array([[last.get(int(a)) == int(b) for b in found.ids] for a in truth.ids]).reshape(
            iou.shape
        )
        worth = np.where(iou >= least_iou, iou + kept, 0.0)
        for a, b in zip(*linear_sum_assignment(worth, maximize=True), strict=True):
            if worth[a, b] > 0:
                person, name = int(truth.ids[a]), int(found.ids[b])
                switches += last.get(person, name) != name
                last[person] = name
    right = _most_together(together)
    return IdentityScores(
        idf1=2 * right / max(true_total + predicted_total, 1),
        precision=right / max(predicted_total, 1),
        recall=right / max(true_total, 1),
        switches=switches,
    )


def _most_together(together: dict[tuple[int, int], int]) -> int:
    """The largest number of frames that a one-to-one assignment of identities explains."""
    from scipy.optimize import linear_sum_assignment

    if not together:
        return 0
    pairs = np.array(list(together), np.int64)
    rows, row = np.unique(pairs[:, 0], return_inverse=True)
    columns, column = np.unique(pairs[:, 1], return_inverse=True)
    counts = np.zeros((len(rows), len(columns)), np.int64)
    counts[row, column] = list(together.values())
    return int(counts[linear_sum_assignment(counts, maximize=True)].sum())


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum((a[:, :2] + a[:, 2:])[:, None], (b[:, :2] + b[:, 2:])[None])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    return shared / np.maximum(a[:, 2:].prod(1)[:, None] + b[:, 2:].prod(1)[None] - shared, 1e-9)
