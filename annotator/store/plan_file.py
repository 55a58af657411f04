"""Plans on disk: one Parquet file whose row groups are whole shards, read a group at a time."""

from __future__ import annotations

import json
import mmap
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from annotator.errors import UserError
from annotator.locations import absolute
from annotator.store.durable import NO_FILE
from annotator.store.parquet import open_parquet
from annotator.store.schema import PLAN, follows, metadata
from annotator.store.storage import Storage, storage_at

PATH = "plan/items.parquet"
_ABOUT = b"plan"
ANEW = "the command that started the run writes it anew"


def save_plan(run_dir: str | Path, about: dict[str, Any], tables: Iterable[pa.Table]) -> None:
    """Write tables as the row groups of RUN/plan/items.parquet, whole or not at all.

    The file grows in a temporary folder, so that its size does not matter.

    Raises:
        OSError: the run folder cannot be written.
    """
    schema = PLAN.with_metadata({**metadata("plan"), _ABOUT: json.dumps(about).encode()})
    with tempfile.TemporaryFile(prefix="annotator-plan-") as file:
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
                writer.write_table(table.replace_schema_metadata(schema.metadata), row_group_size=len(table))
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as data:
            storage_at(run_dir).replace(PATH, data)


@contextmanager
def open_plan(storage: Storage) -> Iterator[pq.ParquetFile]:
    """Open the plan of a run for reading.

    Raises:
        OSError, pyarrow.ArrowException: as `open_parquet`; the latter also for a table of something else.
    """
    with open_parquet(storage, PATH) as file:
        if not follows(file.schema_arrow, "plan"):
            raise pa.ArrowInvalid("its columns are not those of a plan")
        yield file


class PlanFile:
    """Rows of a plan on disk. Cheap to open and to pickle; keeps the last row group in memory."""

    def __init__(self, run_dir: str, starts: list[int], about: dict[str, Any]) -> None:
        self._run_dir = run_dir
        self._starts = starts
        self._last: tuple[int, pa.Table] | None = None
        self.about = about

    @classmethod
    def open(cls, run_dir: str | Path) -> PlanFile:
        """Read what the file says about itself.

        Raises:
            UserError: there is no plan, or it is damaged.
            OSError: as `table`.
        """
        try:
            with open_plan(storage_at(run_dir)) as file:
                groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
                about = json.loads((file.schema_arrow.metadata or {})[_ABOUT])
        except FileNotFoundError:
            raise UserError(f"{run_dir} has no plan ({run_dir}/{PATH} is missing); {ANEW}") from None
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise _failure(error, run_dir) from None
        return cls(absolute(run_dir), list(accumulate(groups, initial=0)), about)

    def __reduce__(self):
        return type(self), (self._run_dir, self._starts, self.about)

    def __len__(self) -> int:
        return self._starts[-1]

    def table(self, start: int, stop: int) -> pa.Table:
        """Rows from `start` to before `stop`.

        Raises:
            UserError: the file is damaged.
            OSError: it cannot be read now or from this machine; it may be so again, or from another one.
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
                with open_parquet(storage_at(self._run_dir), PATH) as file:
                    last = (number, file.read_row_group(number))
            except (pa.ArrowException, OSError) as error:
                raise _failure(error, self._run_dir) from None
            self._last = last
        return last[1]


def _failure(error: Exception, run_dir: str | Path) -> UserError | OSError:
    """What kept the plan from being read: damage, or what may pass."""
    path = f"{run_dir}/{PATH}"
    # Arrow, too, raises OSErrors, for damage: without a number.
    if isinstance(error, OSError) and error.errno in NO_FILE:
        return UserError(f"the plan {path} cannot be read: {error.strerror}. Move that away; {ANEW}")
    if isinstance(error, OSError) and error.errno:
        return OSError(error.errno, error.strerror, path)
    return UserError(f"the plan {path} is damaged ({error}); {ANEW}")
