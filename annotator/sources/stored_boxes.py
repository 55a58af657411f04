"""The plan of a run once more, with the boxes that the run found as given ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from annotator.store.plan import Plan, hash_rows
from annotator.store.reader import Run
from annotator.store.schema import PERSON_BITS, PLAN

_BOXES = PLAN.field("boxes").type

Keep = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
_COLUMNS = ["id", "bbox", "bbox_score", "score", "person_index"]


def plan_with_boxes(run: Run, keep: Keep) -> Plan:
    """The inputs of a finished run, each with the boxes of the people who were found in it.

    Identifiers, shards and order are the run's. Images in which nobody was found have no boxes, and so have
    those that are errors.

    Args:
        keep: which people stay, (N,) bool, from `person_index`, `bbox_score` and `score`, (N,) each.
    """
    plan = run.plan
    rows = _Rows(run, keep)
    return Plan(
        rows,
        shard_size=plan.shard_size,
        sha256=hash_rows(rows, plan.shard_size, plan.starts),
        duplicates=plan.duplicates,
        notes=plan.notes,
        starts=plan.starts,
    )


class _Rows:
    """Rows of the run's plan; reads the boxes of a shard when its rows are asked for, and keeps the last."""

    def __init__(self, run: Run, keep: Keep) -> None:
        self._run, self._keep = run, keep
        self._plan = run.plan
        self._last: tuple[int, pa.Table] | None = None

    def __len__(self) -> int:
        return len(self._plan)

    def table(self, start: int, stop: int) -> pa.Table:
        """Rows from `start` to before `stop`, schema `PLAN`."""
        rows = self._plan.table(start, stop)
        parts = []
        for shard in sorted(set(rows["shard"].to_pylist())):
            part = rows.filter(pa.array(rows["shard"].to_numpy() == shard))
            parts.append(self._with_boxes(part, shard))
        return pa.concat_tables(parts).cast(PLAN) if parts else PLAN.empty_table()

    def _with_boxes(self, rows: pa.Table, shard: int) -> pa.Table:
        if self._last is None or self._last[0] != shard:
            self._last = shard, self._run.rows("instances", shard, _COLUMNS)
        people = self._last[1].combine_chunks()
        stays = self._keep(*(people[name].to_numpy() for name in ("person_index", "bbox_score", "score")))
        people = people.filter(pa.array(stays))
        # An id holds the place in the plan, whose numbers have gaps where something was forgotten.
        of = people["id"].to_numpy() >> PERSON_BITS
        index = rows["index"].to_numpy()
        wanted = np.isin(of, index)
        people, of = people.filter(pa.array(wanted)), of[wanted]
        counts = np.bincount(np.searchsorted(index, of), minlength=len(index))
        boxes = pa.StructArray.from_arrays(
            [
                people["bbox"].combine_chunks().cast(_BOXES.value_type.field("bbox").type),
                people["bbox_score"].combine_chunks().cast(pa.float64()),
            ],
            fields=list(_BOXES.value_type),
        )
        offsets = np.r_[0, counts.cumsum()].astype(np.int32)
        column = pa.ListArray.from_arrays(offsets, boxes, type=_BOXES)
        return rows.set_column(rows.schema.get_field_index("boxes"), PLAN.field("boxes"), column)
