"""A run without people whom it doubts itself, for whoever exports it; the rows on disk keep everybody."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa

from annotator.errors import UserError
from annotator.store.reader import Run
from annotator.store.view import View

# Who can be left out, and the columns of instances that say so of a person: true, or somebody's id.
KINDS = {
    "phantoms": ("likely_phantom",),
    "duplicates": ("nms_suppressed", "duplicate_of"),
}
DOUBTS = tuple(column for columns in KINDS.values() for column in columns)


class RunWithout(View):
    """Reads as the run does, without some of its people; images stay, also those where nobody is left.

    Args:
        run: the run. columns: of instances; who has any of these flags is left out.
        decided: ids of people who stay whatever the signals say: somebody has looked at them.

    Attributes:
        left_out: how many people the last reading of `instances` has left out.
    """

    def __init__(self, run: Run, columns: Collection[str], decided: Collection[int] = ()) -> None:
        self._columns = tuple(columns)
        super().__init__(run, instances=("id", *self._columns))
        self._decided = np.array(sorted(decided), np.int64)
        self.left_out = 0

    def instances(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """As those of the run, but for those who are left out."""
        self.left_out = 0
        return super().instances(columns)

    def _changed(self, table: str, batch: pa.RecordBatch) -> pa.RecordBatch:
        if table != "instances":
            return batch
        keep = ~flagged(batch, self._columns) | np.isin(batch["id"].to_numpy(), self._decided)
        self.left_out += int((~keep).sum())
        return batch.filter(pa.array(keep))


def columns_of(run: Run, kinds: Collection[str], decided: Collection[int] = ()) -> tuple[str, ...]:
    """The columns that say of a run's people whether they are of these kinds.

    Args:
        kinds: names of `KINDS`. decided: ids of people about whom nobody asks.

    Raises:
        UserError: no such kind, or the run's rows have no signals (schema 1.0).
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise UserError(f"--drop {', '.join(unknown)}: choose from {', '.join(KINDS)}")
    if any(_unknown(people, decided) for people in run.instances(["id", "person_score"])):
        raise UserError(f"--drop: the rows of {run.place} have no signals that tell whom to leave out")
    return tuple(column for kind in KINDS if kind in kinds for column in KINDS[kind])


def _unknown(people: pa.RecordBatch, decided: Collection[int]) -> bool:
    """Whether the signals of somebody are missing of whom nobody has said anything."""
    without = people.filter(people["person_score"].is_null())["id"].to_pylist()
    return not set(without) <= set(decided)


def flagged(people: pa.RecordBatch, columns: Sequence[str]) -> np.ndarray:
    """(N,) bool: who has any of these flags, or the id of somebody, in a batch of instances."""
    found = np.zeros(people.num_rows, bool)
    for name in columns:
        column = people[name]
        says = column.fill_null(False) if pa.types.is_boolean(column.type) else column.is_valid()
        found |= says.to_numpy(zero_copy_only=False)
    return found


def doubts(people: pa.RecordBatch) -> list[tuple[str, ...]]:
    """The kinds of `KINDS` that each person of a batch of instances is of; it needs the columns `DOUBTS`."""
    found = [(kind, flagged(people, columns)) for kind, columns in KINDS.items()]
    return [tuple(kind for kind, those in found if those[n]) for n in range(people.num_rows)]
