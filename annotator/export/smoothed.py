"""Smoothed joints as one Parquet file: the columns of `instances`, and what smoothing adds to them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from annotator.export.doubtful import doubts
from annotator.export.exported import Exported
from annotator.store.atomic import atomic_path
from annotator.store.reader import Run
from annotator.store.schema import METADATA_KEY
from annotator.tracks.smoothed import SMOOTHED, SmoothedRun


def write_smoothed(run: Run, path: str | Path, *, min_score: float = 0.0) -> Exported:
    """Write the instances of `SmoothedRun`: keypoints, keypoints_raw, keypoint_sigmas, filled.

    Args:
        min_score: people below this score are left out.

    Raises:
        UserError: nobody was followed, or the path cannot be written.
        RunFailed: a data file is damaged, or the disk is full.
    """
    document = run.metadata | {"table": "smoothed"}
    schema = SMOOTHED.with_metadata({METADATA_KEY: json.dumps(document, sort_keys=True).encode()})
    done = Exported(Path(path))
    with atomic_path(path) as aside, pq.ParquetWriter(aside, schema, compression="zstd") as writer:
        for batch in SmoothedRun(run).instances():
            keep = batch["score"].to_numpy() >= min_score
            done.below_score += int((~keep).sum())
            batch = batch.filter(pa.array(keep))
            done.add_people(doubts(batch))
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    statuses = [status for batch in run.images(["status"]) for status in batch["status"].to_pylist()]
    done.errors = statuses.count("error")
    done.images = len(statuses) - done.errors
    return done
