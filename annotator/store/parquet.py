"""Parquet files of a run, wherever its storage is; damaged pages raise instead of giving wrong rows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from annotator.store.storage import Storage

ROW_GROUP_ROWS = 65_536


def parquet_bytes(table: pa.Table) -> memoryview:
    """A table as the bytes of a file of a run."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=ROW_GROUP_ROWS, write_page_checksum=True)
    return buffer.getbuffer()


@contextmanager
def open_parquet(storage: Storage, name: str) -> Iterator[pq.ParquetFile]:
    """Open a file of a run for reading.

    Raises:
        OSError: FileNotFoundError where it is not there, and whatever reading raises.
        pyarrow.ArrowException: it is damaged.
    """
    with storage.open(name) as file, pq.ParquetFile(file, page_checksum_verification=True) as parquet:
        yield parquet
