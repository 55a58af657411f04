"""The truth about a person as a COCO annotation."""

from __future__ import annotations

from typing import Any

import numpy as np

from annotator.synth.visibility import Truth

PEOPLE_A_FILM = 100


def track_id(film: int, identity: int) -> int:
    """The track of a person, numbered from 0 within its film; unique over all films."""
    return film * PEOPLE_A_FILM + identity + 1


def to_coco(truth: Truth) -> dict[str, Any]:
    """A COCO annotation, coordinates rounded to hundredths of a pixel."""
    from pycocotools import mask as rle

    encoded: Any = rle.encode(np.asfortranarray(truth.mask.astype(np.uint8)))
    return {
        "category_id": 1,
        "iscrowd": 0,
        "bbox": list(truth.bbox),
        "area": float(truth.area),
        "keypoints": [
            round(float(v), 2) if i % 3 < 2 else int(v) for i, v in enumerate(truth.keypoints.ravel())
        ],
        "num_keypoints": int((truth.keypoints[:, 2] > 0).sum()),
        "segmentation": {"size": list(encoded["size"]), "counts": str(encoded["counts"], "ascii")},
        "pose": truth.pose,
    }
