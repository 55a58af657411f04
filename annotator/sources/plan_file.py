"""Plans on disk: one Parquet file whose row groups are whole shards, read a group at a time."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from annotator.errors import UserError
from annotator.store.schema import PLAN, metadata

FOLDER = "plan"
NAME = "items.parquet"
_ABOUT = b"plan"


def save_plan(run_dir: Path, about: dict[str, Any], tables: Iterable[pa.Table]) -> None:
    """Write tables as the row groups of RUN/plan/items.parquet: aside, flushed to disk, then renamed.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = run_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    schema = PLAN.with_metadata({**metadata("plan"), _ABOUT: json.dumps(about).encode()})
    handle, aside = tempfile.mkstemp(prefix=".plan-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            writer = pq.ParquetWriter(
                file,
                schema,
                compression="zstd",
                use_dictionary=False,
                column_encoding=dict.fromkeys(("uri", "file_name", "video_uri"), "DELTA_BYTE_ARRAY"),
                write_page_checksum=True,
            )
            with writer:
                for table in tables:
                    writer.write_table(
                        table.replace_schema_metadata(schema.metadata), row_group_size=len(table)
                    )
            file.flush()
            os.fsync(file.fileno())
        Path(aside).chmod(0o644)
        Path(aside).replace(folder / NAME)
        _flush_folder(folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(aside).unlink()


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class PlanFile:
    """Rows of a plan on disk. Cheap to open and to pickle; keeps the last row group in memory."""

    def __init__(self, path: Path, starts: list[int], about: dict[str, Any]) -> None:
        self._path = path
        self._starts = starts
        self._last: tuple[int, pa.Table] | None = None
        self.about = about

    @classmethod
    def open(cls, run_dir: Path) -> PlanFile:
        """Read what the file says about itself.

        Raises:
            UserError: there is no plan, or it is damaged.
        """
        path = run_dir / FOLDER / NAME
        try:
            with pq.ParquetFile(path) as file:
                groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
                about = json.loads((file.schema_arrow.metadata or {})[_ABOUT])
        except FileNotFoundError:
            raise UserError(
                f"{run_dir} has no plan ({path} is missing); is it the folder of a run?"
            ) from None
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise UserError(f"the plan {path} is damaged: {error}") from None
        return cls(path, list(accumulate(groups, initial=0)), about)

    def __reduce__(self):
        return type(self), (self._path, self._starts, self.about)

    def __len__(self) -> int:
        return self._starts[-1]

    def table(self, start: int, stop: int) -> pa.Table:
        """Rows from `start` to before `stop`.

        Raises:
            UserError: the file is damaged.
        """
        parts = []
        for group in range(bisect_right(self._starts, start) - 1, len(self._starts) - 1):
            first = self._starts[group]
            if first >= stop:
                break
            low, high = max(start - first, 0), min(stop, self._starts[group + 1]) - first
            parts.append(self._group(group).slice(low, high - low))
        return pa.concat_tables(parts) if parts else PLAN.empty_table()

    def _group(self, number: int) -> pa.Table:
        last = self._last
        if last is None or last[0] != number:
            try:
                with pq.ParquetFile(self._path, page_checksum_verification=True) as file:
                    last = (number, file.read_row_group(number))
            except (pa.ArrowException, OSError) as error:
                raise UserError(f"the plan {self._path} is damaged: {error}") from None
            self._last = last
        return last[1]
