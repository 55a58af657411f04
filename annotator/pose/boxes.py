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


def extent(keypoints: np.ndarray) -> np.ndarray:
    """The box from joint to joint: (N, K, 2) pixels -> (N, 4) float64 [x, y, w, h]."""
    xy = np.asarray(keypoints, np.float64)
    return xyxy_to_xywh(np.concatenate([xy.min(axis=1), xy.max(axis=1)], axis=1))


def box_around(joints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The box of a person of whom only joints are known: their extent, some more on each side, in the image.

    A tenth of the longer side, and 8 pixels at least: heads and feet go on beyond their joints.

    Args:
        joints: (K, 2) pixels, one or more. size: (width, height) of the image.

    Returns:
        (4,) float64 [x, y, w, h], pixels.
    """
    x, y, w, h = extent(np.asarray(joints)[None])[0]
    margin = max(max(w, h) / 10, 8.0)
    corners = np.array([[x - margin, y - margin], [x + w + margin, y + h + margin]])
    return xyxy_to_xywh(np.clip(corners, 0, size).ravel())


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


def crop_areas(sizes: np.ndarray, aspect: float, padding: float = 1.25) -> np.ndarray:
    """Area of the region that `bbox_to_center_scale` crops around boxes: people's size in MMPose's OKS-NMS.

    Args:
        sizes: (N, 2) width and height of the boxes, pixels of the image.
        aspect: width / height of the network's input.

    Returns:
        (N,) square pixels.
    """
    w, h = sizes[:, 0] * padding, sizes[:, 1] * padding
    return np.maximum(w, h * aspect) * np.maximum(h, w / aspect)


def iou_matrix(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of each box with each other one.

    Args:
        boxes: (N, 4), others: (M, 4), [x1, y1, x2, y2] in pixels of one image.

    Returns:
        (N, M) float32 in [0, 1]; 0 where both are without extent.
    """
    a, b = np.asarray(boxes, np.float32), np.asarray(others, np.float32)
    left, top = np.maximum(a[:, None, 0], b[None, :, 0]), np.maximum(a[:, None, 1], b[None, :, 1])
    right, bottom = np.minimum(a[:, None, 2], b[None, :, 2]), np.minimum(a[:, None, 3], b[None, :, 3])
    shared = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    area_a, area_b = (np.maximum(s[:, 2:] - s[:, :2], 0).prod(axis=1) for s in (a, b))
    union = area_a[:, None] + area_b[None] - shared
    return np.where(union > 0, shared / np.where(union > 0, union, 1), 0)
