"""How much a queue finds: share of bad labels among the first so many people, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotator.errors import UserError
from annotator.quality.fit import auroc

# Of OKS: below it a label is bad. COCO's "AP75" calls those above well placed.
BAD_BELOW = 0.75
SHARES = (0.1, 0.2, 0.3, 0.5)
RESAMPLES = 1000
_GRID = np.linspace(0, 1, 101)


class NothingToFindError(UserError):
    """All labels with truth are good, or all are bad: no order is better than another."""


@dataclass(frozen=True, slots=True)
class Captured:
    """What the worst `share` of the queue hold.

    Attributes:
        share: of the people. found: share of all bad labels among them. low, high: 95% interval of it.
        ceiling: the most that any queue could hold.
    """

    share: float
    found: float
    low: float
    high: float
    ceiling: float

    @property
    def of_ceiling(self) -> float:
        """found / ceiling."""
        return self.found / self.ceiling


@dataclass(frozen=True, slots=True)
class ReviewCurve:
    """A queue against the truth.

    Attributes:
        people, bad, images: judged people, bad labels among them, their images.
        at: for each of `SHARES`.
        shares, found, low, high: (101,), the whole curve.
        auroc: chance that a bad label stands before a good one, with its 95% interval.
    """

    people: int
    bad: int
    images: int
    at: tuple[Captured, ...]
    shares: np.ndarray
    found: np.ndarray
    low: np.ndarray
    high: np.ndarray
    auroc: tuple[float, float, float]

    @property
    def base_rate(self) -> float:
        """Share of bad labels: what the same part of any order holds."""
        return self.bad / self.people


def review_curve(risk: np.ndarray, bad: np.ndarray, images: np.ndarray, seed: int = 0) -> ReviewCurve:
    """The curve of a queue, with intervals by drawing images anew (people of one image are alike).

    Args:
        risk: (N,), higher is looked at first. bad: (N,) bool. images: (N,) which image each is in.

    Raises:
        NothingToFindError: nobody is bad, or everybody.
    """
    if not bad.any() or bad.all():
        raise NothingToFindError(
            f"{int(bad.sum()):,} of {len(bad):,} labels with truth are bad, so there is no curve to draw"
        )
    order = np.argsort(-risk, kind="stable")
    risk, bad = risk[order], bad[order]
    names, group = np.unique(images[order], return_inverse=True)
    found = _found(np.ones(len(bad)), bad)
    rng = np.random.default_rng(seed)
    curves, areas = [], []
    for _ in range(RESAMPLES):
        drawn = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
        weight = drawn[group].astype(float)
        if (weight * bad).any() and (weight * ~bad).any():
            curves.append(_found(weight, bad))
            areas.append(auroc(np.repeat(risk, drawn[group]), np.repeat(bad, drawn[group])))
    low, high = np.quantile(curves, (0.025, 0.975), axis=0)
    base = bad.mean()
    at = []
    for share in SHARES:
        place = round(share * (len(_GRID) - 1))
        ceiling = min(1.0, share / base)
        at.append(Captured(share, float(found[place]), float(low[place]), float(high[place]), ceiling))
    bounds = np.quantile(areas, (0.025, 0.975))
    return ReviewCurve(
        people=len(bad),
        bad=int(bad.sum()),
        images=len(names),
        at=tuple(at),
        shares=_GRID,
        found=found,
        low=low,
        high=high,
        auroc=(auroc(risk, bad), float(bounds[0]), float(bounds[1])),
    )


def _found(weight: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """(101,) share of bad weight among the first 0%, 1% ... of all weight, in the order given."""
    looked = np.concatenate([[0], np.cumsum(weight)])
    caught = np.concatenate([[0], np.cumsum(weight * bad)])
    return np.interp(_GRID, looked / looked[-1], caught / caught[-1])
