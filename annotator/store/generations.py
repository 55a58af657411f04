"""Rows of a shard made anew for some of its items: the others keep theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from annotator.errors import RunFailed
from annotator.store.parquet import open_parquet
from annotator.store.records import CommitRecord
from annotator.store.schema import completed
from annotator.store.storage import storage_at


def merge(
    run_dir: str | Path, record: CommitRecord, images: pa.Table, instances: pa.Table
) -> tuple[pa.Table, pa.Table]:
    """The rows of the next generation of a shard, in plan order.

    Args:
        record: of the generation that stands.
        images, instances: rows of the items that were run again.

    Returns:
        Both tables of the whole shard: the new rows, and the old ones of all other items.

    Raises:
        RunFailed: the standing rows cannot be read.
    """
    merged = []
    for name, new in (("images", images), ("instances", instances)):
        file = record.files[name].name
        try:
            with open_parquet(storage_at(run_dir), file) as parquet:
                old = parquet.read()
        except (pa.ArrowException, OSError) as error:
            raise RunFailed(
                f"{run_dir}/{file} cannot be read ({error}); `annotator verify` names what is wrong"
            ) from error
        old = completed(old, name)
        kept = old.filter(~np.isin(old["image_id"].to_numpy(), images["image_id"].to_numpy()))
        whole = pa.concat_tables([kept.cast(new.schema), new]).combine_chunks()
        merged.append(whole.sort_by("index" if name == "images" else "id"))
    return merged[0], merged[1]
