"""Parquet files of a run, wherever its storage is; damaged pages raise instead of giving wrong rows."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from annotator.store.records import FileEntry
from annotator.store.storage import Storage

ROW_GROUP_ROWS = 65_536


def parquet_bytes(table: pa.Table) -> memoryview:
    """A table as the bytes of a file of a run."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=ROW_GROUP_ROWS, write_page_checksum=True)
    return memoryview(sink.getvalue()).cast("B")


@contextmanager
def open_parquet(storage: Storage, name: str, size: int | None = None) -> Iterator[pq.ParquetFile]:
    """Open a file of a run for reading.

    Args:
        size: bytes that it should have, where that is known.

    Raises:
        OSError: FileNotFoundError where it is not there, and whatever reading raises.
        pyarrow.ArrowException: it is damaged.
    """
    with storage.open(name) as file:
        found = file.seek(0, io.SEEK_END)
        if size is not None and found != size:
            raise pa.ArrowInvalid(f"it has {found} bytes; {size} were committed")
        file.seek(0)
        with pq.ParquetFile(native(file), page_checksum_verification=True) as parquet:
            yield parquet


def proven_rows(storage: Storage, entry: FileEntry) -> pa.Table:
    """All of a committed file, once its content is proved: for who makes new rows of it.

    Raises:
        OSError, pyarrow.ArrowException: as `open_parquet`; the latter also for other content, whatever it is.
    """
    data = storage.read(entry.name)
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise pa.ArrowInvalid("its content is not what was committed: its sha256 differs")
    with pq.ParquetFile(in_memory(data)) as parquet:
        return parquet.read()


def native(file: BinaryIO) -> pa.NativeFile:
    """The same content for Arrow's own threads.

    A Python file would be let go of by one of them, which needs the interpreter for it and brings the process
    down if that is about to end (apache/arrow#34314).
    """
    if isinstance(file, io.BytesIO):
        return in_memory(file.getbuffer())
    # By its descriptor, as a copy has no name.
    return pa.OSFile(f"/proc/self/fd/{file.fileno()}", "rb")


def in_memory(data: bytes | memoryview) -> pa.BufferReader:
    """Bytes as a file for Arrow's own threads: a copy, as Python's own bytes need the interpreter as well."""
    sink = pa.BufferOutputStream()
    sink.write(data)
    return pa.BufferReader(sink.getvalue())
