"""Which inputs a pattern means."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa


class Matcher:
    """Recognises inputs by name: all frames of a film are one input.

    A pattern without `*`, `?` or `[` is the whole name of an input or of a folder around it; `*` stands for
    anything, slashes too. Names are compared as the run has them, in `uri` and `file_name`.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        parts = []
        for pattern in patterns:
            parts.append(rf"{re.escape(pattern.rstrip('/'))}(?:/.*)?")
            if any(sign in pattern for sign in "*?["):
                parts.append(fnmatch.translate(pattern))
        self._pattern = re.compile("|".join(f"(?:{part})" for part in parts), re.DOTALL)

    def __call__(self, name: str) -> bool:
        """Whether a name is meant."""
        return self._pattern.fullmatch(name) is not None

    def names(self, table: pa.Table | pa.RecordBatch) -> list[tuple[str, str]]:
        """(URI, file name) of the input behind each row with columns uri, file_name and video_uri."""
        columns = (table.column(name).to_pylist() for name in ("uri", "file_name", "video_uri"))
        return [
            (uri, file_name) if film is None else (film, file_name.rpartition("#")[0] or file_name)
            for uri, file_name, film in zip(*columns, strict=True)
        ]

    def rows(self, table: pa.Table | pa.RecordBatch) -> np.ndarray:
        """Which rows come from an input that is meant: (N,) bool."""
        found = (self(uri) or self(file_name) for uri, file_name in self.names(table))
        return np.fromiter(found, bool, table.num_rows)
