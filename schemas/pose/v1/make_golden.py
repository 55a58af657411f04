"""Makes the golden files: a small run's rows, one of each kind. `python -m schemas.pose.v1.make_golden`.

The files are part of the contract: a reader of version 1 must read them for ever. Run this again only when a
minor version adds columns.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from annotator.errors import ItemError
from annotator.people import Poses
from annotator.skeletons import COCO_17
from annotator.sources.items import Item
from annotator.store.rows import RowBuilder
from annotator.store.schema import ModelRecord, Provenance
from annotator.store.visibility import ScoreThresholds

GOLDEN = Path(__file__).parent / "golden"


def golden_tables() -> dict[str, pa.Table]:
    """The tables `images` (ok, empty and two kinds of error) and `instances` (three people in one image)."""
    rows = RowBuilder(
        COCO_17,
        ScoreThresholds(visible=0.3, hidden=0.05),
        Provenance(
            pose_model=ModelRecord("golden-pose", "ab" * 32, "golden-pose.pth", (192, 256), "45" * 32),
            detector=ModelRecord("golden-detector", "cd" * 32, "golden-detector.pth"),
            boxes=None,
            config_sha256="01" * 32,
            plan_sha256="23" * 32,
            code_version="0.1.0",
        ),
    )
    rows.add(_item(0, "a/1.jpg"), (640, 480), _people())
    rows.add(_item(1, "b/1.jpg"), (480, 640), Poses(*(array[:0] for array in _arrays())))
    rows.add(_item(2, "b/näive.jpg"), None, ItemError("decode", "truncated", "the file ends in the middle"))
    rows.add(_item(3, "b/2.jpg"), (32, 32), ItemError("pose", "exception", "RuntimeError: out of memory"))
    images, instances = rows.tables()
    return {"images": images, "instances": instances}


def _item(index: int, file_name: str) -> Item:
    return Item(
        index=index,
        image_id=(1 << 52) + index,
        uri=f"/data/{file_name}",
        file_name=file_name,
        shard=0,
        boxes=None,
    )


def _people() -> Poses:
    return Poses(*_arrays())


def _arrays() -> tuple[np.ndarray, ...]:
    """Three people whose joints are plain, hidden, below every threshold and outside the image (640, 480)."""
    joints = np.arange(17, dtype=np.float32)
    keypoints = np.stack([np.stack([100.25 + 10 * joints, 50.5 + 20 * joints], -1)] * 3)
    keypoints[1, :, 0] += 400
    scores = np.linspace(0.01, 0.95, 3 * 17, dtype=np.float32).reshape(3, 17)
    scores[2, 0] = 1.0625
    bboxes = np.array([[90.5, 40.25, 200, 350], [480, 40, 159.75, 350], [100, 50, 170, 330.125]], np.float64)
    return (
        bboxes,
        np.array([0.9, 0.75, 0.5], np.float32),
        keypoints,
        scores,
        np.array([0.5, 0.4, 0.25], np.float32),
    )


def main() -> None:
    """Write the golden files."""
    GOLDEN.mkdir(exist_ok=True)
    for name, table in golden_tables().items():
        pq.write_table(table, GOLDEN / f"{name}.parquet", compression="zstd")


if __name__ == "__main__":
    main()
