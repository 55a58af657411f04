"""What the second pose model of a run did, and what a cascade saved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotator.store.reader import Run


@dataclass(frozen=True, slots=True)
class SecondFigures:
    """Of all committed shards of a run with two pose models.

    Attributes:
        first, second: names of the models.
        cascade: whether the second posed only those of whom the first was not sure.
        first_people, second_people: people that each model posed.
        first_seconds, second_seconds: seconds that the workers spent in each.
        saved: share of the time of the second model alone on everybody that the cascade did without, at the
            second's own pace; negative where the first model cost more than it saved. None without a cascade,
            and where the second was never asked.
        median_oks: agreement of both, of confident people who were shown to both.
    """

    first: str
    second: str
    cascade: bool
    first_people: int
    second_people: int
    first_seconds: float
    second_seconds: float
    saved: float | None
    median_oks: float | None


def second_figures(run: Run, confident: float) -> SecondFigures | None:
    """Figures of a run; None where there is no second model.

    Args:
        confident: box score from which people count for the agreement.
    """
    provenance = run.info.provenance
    if provenance.second_pose_model is None:
        return None
    names = ("first_people", "second_people", "first_seconds", "second_seconds")
    stats = [record.stats for record in run.committed().values()]
    first, second, first_seconds, second_seconds = (
        sum(float(one.get(name, 0.0)) for one in stats) for name in names
    )
    if not first:
        # Made from the rows of another run, without a model.
        return None
    cascade = run.info.run_config.cascade
    saved = None
    if cascade and second:
        alone = second_seconds / second * first
        saved = 1 - (first_seconds + second_seconds) / alone
    return SecondFigures(
        first=provenance.pose_model.name,
        second=provenance.second_pose_model.name,
        cascade=cascade,
        first_people=int(first),
        second_people=int(second),
        first_seconds=first_seconds,
        second_seconds=second_seconds,
        saved=saved,
        median_oks=_median_agreement(run, confident),
    )


def _median_agreement(run: Run, confident: float) -> float | None:
    """By a histogram: memory does not grow with the number of people."""
    counts = np.zeros(1000, np.int64)
    for batch in run.instances(["bbox_score", "second_oks"]):
        scores = batch["bbox_score"].to_numpy()
        oks = batch["second_oks"].to_numpy(zero_copy_only=False)[scores >= confident]
        oks = oks[np.isfinite(oks)]
        counts += np.bincount(np.minimum((oks * 1000).astype(np.int64), 999), minlength=1000)
    if not counts.sum():
        return None
    return float(np.searchsorted(counts.cumsum(), (counts.sum() + 1) // 2) + 0.5) / 1000
