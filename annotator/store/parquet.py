"""Parquet files of a run, wherever its storage is; damaged pages raise instead of giving wrong rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow.parquet as pq

from annotator.store.storage import Storage


@contextmanager
def open_parquet(storage: Storage, name: str) -> Iterator[pq.ParquetFile]:
    """Open a file of a run for reading.

    Raises:
        OSError: FileNotFoundError where it is not there, and whatever reading raises.
        pyarrow.ArrowException: it is damaged.
    """
    with storage.open(name) as file, pq.ParquetFile(file, page_checksum_verification=True) as parquet:
        yield parquet
