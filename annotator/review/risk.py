"""Which people to look at first, by what the rows say of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from annotator.store.reader import Run

# The worst 30% hold some 80% of the bad labels of photos that were measured; beyond that, little is found.
REVIEW_SHARE = 0.3

# What speaks against a person whatever its rank.
_ALARMS = ("likely_swap", "likely_phantom", "nms_suppressed")
# Signals whose ranks are averaged, and whether more of one is better.
_RANKED = {"score": True, "entropy": False, "flip_oks": True}


@dataclass(frozen=True, slots=True)
class Risk:
    """What is thought of N people, in the order of the run's rows.

    Attributes:
        risk: (N,) float32: average rank of score, entropy and flip agreement, 0 best to 1 worst.
        needs_review: (N,) bool: among the worst `REVIEW_SHARE`, or with an alarm (swap, phantom, double).
    """

    risk: np.ndarray
    needs_review: np.ndarray


def assess(run: Run) -> Risk:
    """Rank all people of a run. Memory: 20 bytes a person."""
    columns = [*_RANKED, *_ALARMS, "duplicate_of"]
    parts: dict[str, list[np.ndarray]] = {name: [np.zeros(0, np.float32)] for name in _RANKED}
    alarms = [np.zeros(0, bool)]
    for batch in run.instances(columns):
        for name, arrays in parts.items():
            arrays.append(batch[name].to_numpy(zero_copy_only=False).astype(np.float32))
        alarms.append(_alarmed(batch))
    ranks = []
    for name, arrays in parts.items():
        values = np.concatenate(arrays)
        if len(values) and np.isfinite(values).any():
            ranks.append(_rank(-values if _RANKED[name] else values))
    risk = np.asarray(sum(ranks) / len(ranks), np.float32) if ranks else np.zeros(0, np.float32)
    worst = risk >= np.quantile(risk, 1 - REVIEW_SHARE) if len(risk) else np.zeros(0, bool)
    return Risk(risk, worst | np.concatenate(alarms))


def _alarmed(batch: pa.RecordBatch) -> np.ndarray:
    alarmed = ~batch["duplicate_of"].is_null().to_numpy(zero_copy_only=False)
    for name in _ALARMS:
        alarmed = alarmed | batch[name].fill_null(False).to_numpy(zero_copy_only=False)
    return alarmed


def _rank(values: np.ndarray) -> np.ndarray:
    """(N,) float32 in [0, 1]: the share of values that are lower; equal ones share their mean, NaN is 0.5."""
    good = np.isfinite(values)
    order = np.sort(values[good])
    ranks = np.full(len(values), 0.5, np.float32)
    low, high = (np.searchsorted(order, values[good], side) for side in ("left", "right"))
    ranks[good] = (low + high) / (2 * max(len(order), 1))
    return ranks
