"""Review layers of a run, and the same without some of its images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from annotator.errors import UserError
from annotator.store.parquet import open_parquet, parquet_bytes
from annotator.store.reader import Run
from annotator.store.storage import Storage


def read_layers(run: Run, so_far: str) -> dict[str, pa.Table]:
    """Review layers by the names of their files: all can be read, or nothing more is forgotten.

    Args:
        so_far: what has been done, for the message.

    Raises:
        UserError: a layer is damaged.
    """
    layers = {}
    for name in run.storage.names("reviews"):
        if not name.endswith(".parquet"):
            continue
        try:
            with open_parquet(run.storage, f"reviews/{name}") as file:
                layers[name] = file.read()
            layers[name]["image_id"]
        except (pa.ArrowException, OSError, KeyError) as error:
            raise UserError(
                f"{run.place}/reviews/{name} cannot be read ({error}), so {so_far}. "
                "Put a sound copy in its place, or remove it (its decisions are lost then), and try again"
            ) from error
    return layers


def rewrite_layers(storage: Storage, layers: Mapping[str, pa.Table], image_ids: np.ndarray) -> int:
    """Write the layers without the rows of these images; a layer of nothing else goes. How many rows went."""
    removed = 0
    for name, rows in layers.items():
        mask = np.isin(rows["image_id"].to_numpy(), image_ids)
        if not mask.any():
            continue
        removed += int(mask.sum())
        if mask.all():
            storage.remove(f"reviews/{name}")
        else:
            storage.replace(f"reviews/{name}", parquet_bytes(rows.filter(pa.array(~mask))))
    return removed
