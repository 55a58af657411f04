"""Which people to look at first, and whom nobody is shown unless they ask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from annotator.errors import UserError
from annotator.quality.queue import mean_rank, rank
from annotator.store.reader import Run

# The worst 30% hold some 80% of the bad labels of photos that were measured; beyond that, little is found.
REVIEW_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Risk:
    """What is thought of N people, in the order of the run's rows.

    Attributes:
        risk: (N,) float32: as `annotator queue` ranks them, 0 best to 1 worst; NaN of those in doubt, whom it
            does not rank: likely nobody, or a double that NMS suppresses.
        needs_review: (N,) bool: of those ranked, the worst `REVIEW_SHARE` and who has an alarm: a swap of
            left and right, or the same joints as somebody else.
    """

    risk: np.ndarray
    needs_review: np.ndarray


def assess(run: Run) -> Risk:
    """Rank the people of a run; rows without signals (schema 1.0) by their score alone, and all of them."""
    alarms = [np.zeros(0, bool)]
    for batch in run.instances(["likely_swap", "duplicate_of"]):
        alarms.append(_alarmed(batch))
    try:
        risk = rank(run).risk
    except UserError:
        scores = [batch["score"].to_numpy() for batch in run.instances(["score"])]
        risk = mean_rank(-np.concatenate(scores)).astype(np.float32)
    ranked = np.isfinite(risk)
    worst = risk >= np.quantile(risk[ranked], 1 - REVIEW_SHARE) if ranked.any() else ranked
    return Risk(risk, (worst | np.concatenate(alarms)) & ranked)


def _alarmed(batch: pa.RecordBatch) -> np.ndarray:
    swapped = batch["likely_swap"].fill_null(False).to_numpy(zero_copy_only=False)
    return swapped | ~batch["duplicate_of"].is_null().to_numpy(zero_copy_only=False)
