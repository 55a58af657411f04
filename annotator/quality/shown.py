"""Who is shown unless somebody asks for all: not likely phantoms, not doubles that NMS suppresses."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

COLUMNS = ("likely_phantom", "nms_suppressed")
# Box score from which somebody is likely there: below it most boxes of most detectors hold nobody.
CONFIDENT = 0.3


def shown(people: pa.RecordBatch | pa.Table) -> np.ndarray:
    """(N,) bool from `COLUMNS` of instances; without signals (rows of version 1.0) everybody is shown."""
    hidden = np.zeros(people.num_rows, bool)
    for name in COLUMNS:
        column = people[name]
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        hidden |= column.fill_null(False).to_numpy(zero_copy_only=False)
    return ~hidden
