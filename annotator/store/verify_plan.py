"""What a run should hold: the id columns of its plan, whose own consistency is proved while they are read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from annotator.errors import UserError
from annotator.store import run_info
from annotator.store.plan_file import ANEW, PATH, open_plan
from annotator.store.storage import Storage
from annotator.store.verify_report import STRAY, Report


@dataclass(frozen=True, slots=True)
class PlannedRows:
    """The plan's columns, in the order of index: (N,) index int64, image_id int64, shard int32."""

    index: np.ndarray
    image_id: np.ndarray
    starts: np.ndarray  # row at which each shard starts, and the number of rows at the end

    @property
    def shards(self) -> int:
        return len(self.starts) - 1

    def rows(self, shard: int) -> slice:
        return slice(int(self.starts[shard]), int(self.starts[shard + 1]))

    @classmethod
    def read(cls, storage: Storage, info: run_info.RunInfo | None, report: Report) -> PlannedRows:
        try:
            with open_plan(storage) as file:
                table = file.read(columns=["index", "image_id", "shard"])
        except FileNotFoundError:
            raise UserError(
                f"{storage.place} has no plan: nothing tells what its rows should be; {ANEW}"
            ) from None
        except (pa.ArrowException, OSError) as error:
            raise UserError(
                f"the plan of {storage.place} cannot be read, so nothing can be proved: {error}; {ANEW}"
            ) from None
        for name in storage.names("plan"):
            if name.endswith(".parquet") and not name.startswith(".") and f"plan/{name}" != PATH:
                report.add("stray", f"plan/{name}", STRAY)
        columns = [table[name].to_numpy() for name in ("index", "image_id", "shard")]
        if not (np.diff(columns[0]) > 0).all():
            order = np.argsort(columns[0], kind="stable")
            columns = [column[order] for column in columns]
        index, image_id, shard = columns
        gone = info.forgotten.indices() if info and info.forgotten else np.zeros(0, np.int64)
        total = len(index) + len(gone)
        if not np.array_equal(np.sort(np.concatenate([index, gone])), np.arange(total)):
            those = f"its {len(index)} items" + (f" and the {len(gone)} forgotten ones" if len(gone) else "")
            report.add("plan", "plan", f"{those} are not numbered 0 to {total - 1} once each")
        if len(np.unique(image_id)) != len(image_id):
            report.add("plan", "plan", f"{len(image_id) - len(np.unique(image_id))} items share an image_id")
        if (np.diff(shard) < 0).any():
            report.add("plan", "plan", "the items of a shard are not neighbours")
        shards = int(shard.max()) + 1 if len(shard) else 0
        if len(gone) and info is not None:
            shards = max(shards, info.shards)  # the last ones may have lost all their items
        return cls(index, image_id, np.searchsorted(shard, np.arange(shards + 1)))
