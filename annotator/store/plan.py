"""The frozen plan of a run on disk: every input once, in order, in shards of neighbours."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from annotator.errors import UserError
from annotator.items import GivenBox, Item
from annotator.store.plan_file import ANEW, PlanFile, save_plan

HASH_ROWS = 65_536
_NONE = -(1 << 63)


class Rows(Protocol):
    """Where the rows of a plan are."""

    def __len__(self) -> int: ...
    def table(self, start: int, stop: int) -> pa.Table: ...


class TableRows:
    """Rows in memory."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def table(self, start: int, stop: int) -> pa.Table:
        return self._table.slice(start, stop - start)


class Plan:
    """What a run works off.

    Attributes:
        shard_size: items in each shard but the last; with videos, about so many.
        sha256: over the rows and the shard size, hex: equal for equal plans wherever they lie.
        duplicates: inputs that were named more than once and are in the plan once.
        notes: what a person should know: files left out, boxes without image, with counts.
        starts: the first item of each shard and the number of items, where shards end with groups of
            pictures; None where all are of `shard_size`.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        shard_size: int,
        sha256: str,
        duplicates: int = 0,
        notes: Sequence[str] = (),
        starts: Sequence[int] | None = None,
    ) -> None:
        self._rows = rows
        self.shard_size = shard_size
        self.sha256 = sha256
        self.duplicates = duplicates
        self.notes = tuple(notes)
        self.starts = None if starts is None else tuple(starts)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shards(self) -> range:
        """Numbers of the shards."""
        if self.starts is not None:
            return range(len(self.starts) - 1)
        return range(-(-len(self) // self.shard_size))

    def items(self, shard: int) -> list[Item]:
        """The items of one shard, in order.

        Raises:
            IndexError: no such shard.
            UserError, OSError: as `PlanFile.table`, for a plan on disk.
        """
        if shard not in self.shards:
            raise IndexError(f"shard {shard} of {len(self.shards)}")
        if self.starts is not None:
            start, stop = self.starts[shard], self.starts[shard + 1]
        else:
            start = shard * self.shard_size
            stop = min(start + self.shard_size, len(self))
        rows = self.table(start, stop)
        return [_item(row) for row in rows.select(_ITEM_COLUMNS).to_pylist()]

    def table(self, start: int = 0, stop: int | None = None) -> pa.Table:
        """Rows as a table of `schema.PLAN`."""
        return self._rows.table(start, len(self) if stop is None else stop)

    def tables(self, size: int = HASH_ROWS) -> Iterator[pa.Table]:
        """All rows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.table(start, min(start + size, len(self)))

    def prove(self) -> None:
        """Read all rows once, which shows damage, and compare them with the hash.

        Raises:
            UserError: they are not what was planned.
            UserError, OSError: as `PlanFile.table`, for a plan on disk.
        """
        if hash_rows(self._rows, self.shard_size, self.starts) != self.sha256:
            raise UserError(f"the plan is damaged: its rows or shards are not those of its sha256; {ANEW}")


_VIDEO_COLUMNS = ["video_uri", "frame_index", "pts", "time", "keyframe_pts"]
_ITEM_COLUMNS = ["index", "image_id", "uri", "file_name", "shard", "boxes", *_VIDEO_COLUMNS]


def _item(row: dict[str, Any]) -> Item:
    boxes = row.pop("boxes")
    if boxes is not None:
        boxes = tuple(GivenBox(tuple(box["bbox"]), box["score"]) for box in boxes)
    return Item(**row, boxes=boxes)


def hash_rows(rows: Rows, shard_size: int, starts: Sequence[int] | None = None) -> str:
    """sha256 of a plan, hex: independent of how Arrow or Parquet lay the rows out.

    For each 65,536 rows: ids, then for each text column byte lengths and bytes, then counts, numbers and
    scores of the boxes (-1 for none given, NaN for no score), all little-endian. A plan with videos adds
    the starts of its shards, and for each 65,536 rows numbers and time stamps of frames (-2**63 for none).
    """
    digest = hashlib.sha256(f"plan v1, {len(rows)} rows, shards of {shard_size}\n".encode())
    if starts is not None:
        digest.update(np.array(starts, "<i8").tobytes())
    for start in range(0, len(rows), HASH_ROWS):
        table = rows.table(start, min(start + HASH_ROWS, len(rows)))
        digest.update(table["image_id"].to_numpy().astype("<i8").tobytes())
        for name in ("uri", "file_name"):
            texts = [text.encode() for text in table[name].to_pylist()]
            digest.update(np.fromiter(map(len, texts), "<i4", len(texts)).tobytes())
            digest.update(b"".join(texts))
        boxes = table["boxes"].combine_chunks()
        counts = boxes.value_lengths().fill_null(-1)
        digest.update(np.asarray(counts).astype("<i4").tobytes())
        flat = boxes.flatten()
        digest.update(np.asarray(flat.field("bbox").flatten()).astype("<f8").tobytes())
        digest.update(flat.field("score").to_numpy(zero_copy_only=False).astype("<f8").tobytes())
        if starts is not None:
            for name in ("frame_index", "pts", "keyframe_pts"):
                numbers = table[name].fill_null(_NONE).to_numpy()
                digest.update(numbers.astype("<i8").tobytes())
    return digest.hexdigest()


def write_plan(plan: Plan, run_dir: str | Path) -> None:
    """Write a plan as Parquet under RUN/plan/, whole or not at all.

    Raises:
        UserError: the folder cannot be written.
    """
    about = {
        "shard_size": plan.shard_size,
        "sha256": plan.sha256,
        "duplicates": plan.duplicates,
        "notes": list(plan.notes),
    }
    if plan.starts is not None:
        about["starts"] = list(plan.starts)
    try:
        save_plan(run_dir, about, plan.tables(max(1, HASH_ROWS // plan.shard_size) * plan.shard_size))
    except OSError as error:
        raise UserError(
            f"cannot write the plan into {error.filename or run_dir}: {error.strerror or error}"
        ) from None


def read_plan(run_dir: str | Path) -> Plan:
    """The plan of a run folder; its rows are read when they are asked for.

    Raises:
        UserError, OSError: as `PlanFile.open`.
    """
    rows = PlanFile.open(run_dir)
    if not _describes_a_plan(rows.about):
        raise UserError(f"the plan of {run_dir} is damaged: it does not say what its shards are; {ANEW}")
    return Plan(rows, **rows.about)


_ABOUT = {"shard_size": int, "sha256": str, "duplicates": int, "notes": list, "starts": list}


def _describes_a_plan(about: Any) -> bool:
    """Whether a plan file's own words are of the kinds that `write_plan` writes."""
    return (
        isinstance(about, dict)
        and {"shard_size", "sha256"} <= about.keys()
        and all(isinstance(value, _ABOUT.get(name, ())) for name, value in about.items())
        and about["shard_size"] > 0
        and all(isinstance(start, int) for start in about.get("starts", ()))
    )
