"""Person boxes, and the regions around them that the pose network looks at."""

from __future__ import annotations

import numpy as np


def xywh_to_xyxy(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) [x, y, w, h] -> (..., 4) [x1, y1, x2, y2], same dtype and pixels, as a new array."""
    boxes = np.asarray(boxes)
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def xyxy_to_xywh(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) [x1, y1, x2, y2] -> (..., 4) [x, y, w, h], same dtype and pixels, as a new array."""
    boxes = np.asarray(boxes)
    return np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], axis=-1)


def usable(boxes: np.ndarray) -> np.ndarray:
    """Which [x1, y1, x2, y2] boxes (N, 4) are finite and have a positive width and height: (N,) bool."""
    boxes = np.asarray(boxes)
    return np.asarray(np.isfinite(boxes).all(axis=-1) & (boxes[..., 2:] > boxes[..., :2]).all(axis=-1))


def bbox_to_center_scale(
    boxes: np.ndarray, padding: float = 1.25, aspect: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The region cropped around each box, as MMPose's `GetBBoxCenterScale` and `TopdownAffine` have it.

    Args:
        boxes: (N, 4) [x1, y1, x2, y2], pixels of the image; float32 stays float32, all else becomes float64.
        padding: factor by which width and height grow.
        aspect: width / height of the network's input; the shorter side grows to it. None: as the box.

    Returns:
        center: (N, 2) x, y and scale: (N, 2) width, height of the region, in pixels of the image.
    """
    boxes = np.asarray(boxes)
    if boxes.dtype != np.float32:
        boxes = boxes.astype(np.float64)
    boxes = boxes.reshape(-1, 4)
    scale = (boxes[:, 2:] - boxes[:, :2]) * padding
    center = (boxes[:, 2:] + boxes[:, :2]) * 0.5
    if aspect is not None:
        w, h = scale[:, :1], scale[:, 1:]
        scale = np.where(
            w > h * aspect,
            np.concatenate([w, w / aspect], axis=1),
            np.concatenate([h * aspect, h], axis=1),
        )
    return center, scale
