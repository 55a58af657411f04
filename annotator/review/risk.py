"""Which people to look at first: those first in the queue, and those with an alarm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from annotator.errors import UserError
from annotator.quality.queue import mean_rank, rank
from annotator.store.reader import Run

# The worst 30% hold some 80% of the bad labels of photos that were measured; beyond that, little is found.
REVIEW_SHARE = 0.3

# What speaks against a person whatever its rank.
_ALARMS = ("likely_swap", "likely_phantom", "nms_suppressed")


@dataclass(frozen=True, slots=True)
class Risk:
    """What is thought of N people, in the order of the run's rows.

    Attributes:
        risk: (N,) float32: as `annotator queue` ranks them, 0 best to 1 worst.
        needs_review: (N,) bool: among the worst `REVIEW_SHARE`, or with an alarm (swap, phantom, double).
    """

    risk: np.ndarray
    needs_review: np.ndarray


def assess(run: Run) -> Risk:
    """Rank all people of a run; rows without signals (schema 1.0) by their score alone."""
    alarms = [np.zeros(0, bool)]
    for batch in run.instances([*_ALARMS, "duplicate_of"]):
        alarms.append(_alarmed(batch))
    try:
        risk = rank(run, everybody=True).risk
    except UserError:
        scores = [batch["score"].to_numpy() for batch in run.instances(["score"])]
        risk = mean_rank(-np.concatenate(scores)).astype(np.float32)
    worst = risk >= np.quantile(risk, 1 - REVIEW_SHARE) if len(risk) else np.zeros(0, bool)
    return Risk(risk, worst | np.concatenate(alarms))


def _alarmed(batch: pa.RecordBatch) -> np.ndarray:
    alarmed = ~batch["duplicate_of"].is_null().to_numpy(zero_copy_only=False)
    for name in _ALARMS:
        alarmed = alarmed | batch[name].fill_null(False).to_numpy(zero_copy_only=False)
    return alarmed
