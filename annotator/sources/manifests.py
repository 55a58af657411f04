"""Tables of inputs: CSV, TSV, JSON lines and Parquet, with a column of paths and perhaps one of ids."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from annotator.errors import UserError
from annotator.sources.coco_json import integer_id

PATH_COLUMNS = ("uri", "path", "file_name", "image")
MANIFEST_SUFFIXES = frozenset((".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"))


def manifest_rows(path: str, kind: str) -> Iterator[tuple[str, str, int | None]]:
    """(path or URI, place for messages, image id or None) of each row of a manifest, read as a stream.

    Args:
        path: of the manifest.
        kind: its suffix, one of `MANIFEST_SUFFIXES`.

    Raises:
        UserError: unreadable, malformed, without a known column, or a row that names nothing.
    """
    rows = {".csv": _csv, ".tsv": _csv, ".parquet": _parquet}.get(kind, _json_lines)(path)
    column = None
    try:
        for where, row in rows:
            if column is None or column not in row:
                column = _path_column(row, path, where)
            value = row[column]
            if not isinstance(value, str) or not value.strip():
                raise UserError(f"{where}: the column {column!r} is empty")
            yield value, where, _image_id(row.get("image_id"), where)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    if column is None:
        raise UserError(f"{path} has no rows; nothing to annotate")


def _image_id(value: Any, where: str) -> int | None:
    if value is None or value == "" or value != value:
        return None
    return integer_id(value, where)


def _path_column(names: Iterable[str], path: str, where: str) -> str:
    names = list(names)
    for wanted in PATH_COLUMNS:
        if wanted in names:
            return wanted
    raise UserError(
        f"{where}: no column names the picture; expected one of {', '.join(PATH_COLUMNS)}, found "
        f"{', '.join(map(repr, names[:12])) or 'none'}"
    )


def _csv(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    delimiter = "\t" if path.lower().endswith(".tsv") else ","
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            _path_column(header, path, f"{path}: line 1")
            for values in reader:
                if not values:
                    continue
                where = f"{path}: line {reader.line_num}"
                if len(values) != len(header):
                    raise UserError(f"{where} has {len(values)} fields where the header has {len(header)}")
                yield where, dict(zip(header, values, strict=True))
        except csv.Error as error:
            raise UserError(f"{path}: line {reader.line_num} is not valid CSV: {error}") from None


def _json_lines(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            text = os.fsdecode(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip()
            if not text:
                continue
            where = f"{path}: line {number}"
            try:
                row = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{where} is not valid JSON: {error}") from None
            if not isinstance(row, dict):
                raise UserError(f'{where} is not a JSON object, as in {{"path": "a.jpg", "image_id": 1}}')
            yield where, row


def _parquet(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            names = table.schema_arrow.names
            column = _path_column(names, path, path)
            number = 0
            for batch in table.iter_batches(columns=[name for name in (column, "image_id") if name in names]):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row
    except pa.ArrowException as error:
        raise UserError(f"{path} is not a readable Parquet file: {error}") from None
