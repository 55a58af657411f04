"""Makes the golden files: a small run's rows, one of each kind. `python -m schemas.pose.v1.make_golden`.

The files are part of the contract: a reader of version 1 must read them for ever. Run this again only when a
minor version adds columns, and keep the files of the version before beside them (`golden/1.0`, `golden/1.1`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from annotator.errors import ItemError
from annotator.items import Item
from annotator.people import Poses, Signals
from annotator.skeletons import COCO_17
from annotator.store.reviews import Review, layer_table
from annotator.store.rows import RowBuilder
from annotator.store.schema import ModelRecord, Provenance
from annotator.store.visibility import ScoreThresholds

GOLDEN = Path(__file__).parent / "golden"


def golden_tables() -> dict[str, pa.Table]:
    """The tables `images` (ok, empty and two kinds of error), `instances` (three people in one image) and
    `reviews` (of them, and of a person who was added)."""
    policy = ScoreThresholds(visible=0.3, hidden=0.05)
    provenance = Provenance(
        pose_model=ModelRecord("golden-pose", "ab" * 32, "golden-pose.pth", (192, 256), "45" * 32),
        detector=ModelRecord("golden-detector", "cd" * 32, "golden-detector.pth"),
        boxes=None,
        config_sha256="01" * 32,
        plan_sha256="23" * 32,
        code_version="0.1.0",
        second_pose_model=ModelRecord("golden-second", "ef" * 32, "golden-second.pth", (288, 384)),
    )
    rows = RowBuilder(COCO_17, policy, provenance)
    rows.add(_item(0, "a/1.jpg"), (640, 480), _people())
    rows.add(_item(1, "b/1.jpg"), (480, 640), _nobody())
    rows.add(_item(2, "b/näive.jpg"), None, ItemError("decode", "truncated", "the file ends in the middle"))
    rows.add(_item(3, "b/2.jpg"), (32, 32), ItemError("pose", "exception", "RuntimeError: out of memory"))
    images, instances = rows.tables()
    reviews = layer_table(_reviews(), COCO_17, policy.to_dict(), provenance)
    return {"images": images, "instances": instances, "reviews": reviews}


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
    """Three people with all signals; the third is most likely the first again."""
    joints = np.linspace(0, 1, 3 * 17, dtype=np.float32).reshape(3, 17)
    signals = Signals(
        pose_score=np.array([0.25, 0.5, 0.75], np.float32),
        person_score=np.array([0.5, 0.625, 0.0625], np.float32),
        max_iou=np.array([0.75, 0.0, 0.75], np.float32),
        duplicate_of=np.array([-1, -1, 0], np.int32),
        duplicate_oks=np.array([0.0, 0.125, 0.875], np.float32),
        nms_suppressed=np.array([False, False, True]),
        joints_outside_box=np.array([0, 3, 17], np.int32),
        likely_phantom=np.array([False, False, True]),
        entropy=np.array([3.5, 4.25, 7.0], np.float32),
        flip_oks=joints.mean(axis=1),
        keypoint_flip_oks=joints,
        bone_outliers=np.array([0, 1, 4], np.int32),
        likely_swap=np.array([False, True, False]),
    )
    agreement = joints[::-1].copy()
    agreement[1] = np.nan
    return Poses(
        *_arrays(),
        keypoint_entropies=joints * 8,
        signals=signals,
        second_oks=agreement.mean(axis=1),
        keypoint_agreement=agreement,
        posed_by=np.array(["golden-second", "golden-pose", "golden-second"]),
    )


def _nobody() -> Poses:
    bboxes, bbox_scores, keypoints, keypoint_scores, scores = (array[:0] for array in _arrays())
    return Poses(bboxes, bbox_scores, keypoints, keypoint_scores, scores)


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


def _reviews() -> list[Review]:
    """A decision with a correction, one that has aged, a correction that cannot be read, an added person."""
    joints = tuple(float(value) for n in range(17) for value in (100.25 + 10 * n, 50.5 + 20 * n, 2))
    image, when = 1 << 52, "2026-01-01T10:0{}:00.000Z"
    added = tuple(value if n < 30 else 0.0 for n, value in enumerate(joints))
    return [
        Review(
            1, image, "accepted", None, "anna", when.format(1), joints, "anna", when.format(0), (3,), (4.5,)
        ),
        Review(2, image, "rejected", "nobody there", "ben", when.format(1), flags=("stale",)),
        Review(3, image, corrected_by="ben", corrected_at=when.format(2), flags=("broken",)),
        Review(
            1 << 52 | 1234,
            image,
            keypoints=added,
            corrected_by="anna",
            corrected_at=when.format(4),
            bbox=(80.25, 30.5, 130.0, 220.0),
            added_by="anna",
            added_at=when.format(3),
        ),
    ]


def main() -> None:
    """Write the golden files."""
    GOLDEN.mkdir(exist_ok=True)
    for name, table in golden_tables().items():
        pq.write_table(table, GOLDEN / f"{name}.parquet", compression="zstd")


if __name__ == "__main__":
    main()
