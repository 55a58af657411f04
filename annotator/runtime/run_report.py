"""What a start of a run came to: the figures that are told to whoever started it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotator.quality.shown import CONFIDENT
from annotator.runtime.efficiency import Efficiency, efficiency_of
from annotator.runtime.progress import Tally
from annotator.runtime.second_figures import SecondFigures, second_figures
from annotator.store.reader import Run
from annotator.store.status import Summary, summarise
from annotator.store.work import ShardStats, Work


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a start of a run came to.

    Attributes:
        run: the run folder.
        totals: the whole run as it stands now.
        images, people, seconds: of this start alone, people kept; no images or people when all were
            annotated before.
        stages: seconds the workers of this start spent by stage, as of `store.work`.
        efficiency: of the workers of this start; None where nothing was done or measured.
        confident: people of the whole run whose box has a score of at least `CONFIDENT`, phantoms too.
        phantoms: likely phantoms of the whole run: stored, and shown apart.
        notes: what planning had to say about the inputs.
        examples: one file name for each kind of error.
        second: what the second pose model did in the whole run, if there is one.
        finished: this start finished the run; False when there was nothing left to do.
    """

    run: str
    totals: Summary
    images: int
    people: int
    seconds: float
    stages: dict[str, float]
    confident: int
    phantoms: int
    notes: tuple[str, ...]
    examples: dict[str, str]
    second: SecondFigures | None = None
    efficiency: Efficiency | None = None
    finished: bool = False

    @property
    def exit_code(self) -> int:
        """0: every input annotated, or nothing left to do; 3: finished, some inputs are error rows."""
        return 3 if self.finished and self.totals.error else 0


def report(
    out: str,
    tally: Tally | None = None,
    seconds: float = 0.0,
    stats: Sequence[Mapping[str, Any]] = (),
    notes: tuple[str, ...] = (),
    finished: bool = False,
) -> RunReport:
    """The run as it stands, and what this start did, if anything.

    Args:
        stats: figures of the shards of this start, from their commit records.
        finished: this start finished the run.
    """
    run = Run(out)
    confident, phantoms = _confident(run)
    return RunReport(
        run=out,
        totals=summarise(out),
        images=tally.images if tally else 0,
        people=tally.people if tally else 0,
        seconds=seconds,
        stages=Work.of(map(ShardStats.of, stats)).stages,
        confident=confident,
        phantoms=phantoms,
        notes=notes,
        examples=_examples(run),
        second=second_figures(run, CONFIDENT),
        efficiency=efficiency_of(stats),
        finished=finished,
    )


def _confident(run: Run) -> tuple[int, int]:
    """How many people have a sure box, and how many are likely phantoms."""
    confident = phantoms = 0
    for batch in run.instances(["bbox_score", "likely_phantom"]):
        confident += int(np.count_nonzero(batch["bbox_score"].to_numpy() >= CONFIDENT))
        phantoms += batch["likely_phantom"].true_count
    return confident, phantoms


def _examples(run: Run) -> dict[str, str]:
    """The first failed input of each kind; reads only shards whose record counts errors."""
    found: dict[str, str] = {}
    for batch in run.images(["file_name", "status", "error_stage", "error_kind"], only_errors=True):
        for row in batch.to_pylist():
            if row["status"] == "error":
                found.setdefault(f"{row['error_stage']}/{row['error_kind']}", row["file_name"])
    return found
