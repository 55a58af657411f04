"""Rows of a shard made anew for some of its items: the others keep theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from annotator.errors import RunFailed
from annotator.store.parquet import proven_rows
from annotator.store.records import CommitRecord
from annotator.store.schema import completed, made_otherwise, parse_metadata
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
        RunFailed: the standing rows cannot be read, are not what was committed, or are another run's.
    """
    merged = []
    for name, new in (("images", images), ("instances", instances)):
        entry = record.files[name]
        place = f"{run_dir}/{entry.name}"
        try:
            old = completed(proven_rows(storage_at(run_dir), entry), name)
        except (pa.ArrowException, OSError) as error:
            raise RunFailed(
                f"{place} cannot be read ({error}); `annotator verify` names what is wrong"
            ) from error
        documents = (parse_metadata(table.schema, place) for table in (old, new))
        if other := made_otherwise(*documents):
            raise RunFailed(
                f"the rows of {place} are of another run ({', '.join(other)} differ); `annotator verify` "
                "names what is wrong"
            )
        kept = old.filter(~np.isin(old["image_id"].to_numpy(), images["image_id"].to_numpy()))
        whole = pa.concat_tables([kept.cast(new.schema), new]).combine_chunks()
        merged.append(whole.sort_by("index" if name == "images" else "id"))
    return merged[0], merged[1]
