"""Faces made unrecognisable: blurred where the face's joints lie, for everybody in the picture."""

from __future__ import annotations

import cv2
import numpy as np

from annotator.skeletons import Skeleton

_FACE = ("nose", "eye", "ear", "face", "mouth", "brow", "lip", "chin", "jaw", "head")
# A face reaches beyond its joints; a head turned away still has the width of half its shoulders.
_BEYOND = 1.7
_OF_SHOULDERS = 0.42
_OF_BOX = 0.07
# What is left of a face: this many cells across.
_CELLS = 5


def blur_faces(
    pixels: np.ndarray, bboxes: np.ndarray, keypoints: np.ndarray, skeleton: Skeleton
) -> np.ndarray:
    """A copy of a picture in which nobody's face can be told.

    Joints count whatever their visibility: a face that is likely hidden may be there after all. Where
    no joint of the face is seen (v = 0), or the skeleton has none, the top of the box is blurred too. People
    whom nobody found stay as they are.

    Args:
        pixels: (H, W, 3) uint8. bboxes: (N, 4) xywh. keypoints: (N, K, 3). In pixels of `pixels`.
    """
    blurred = pixels.copy()
    face = [n for n, name in enumerate(skeleton.keypoints) if any(part in name.lower() for part in _FACE)]
    shoulders = [n for n, name in enumerate(skeleton.keypoints) if "shoulder" in name.lower()]
    for bbox, joints in zip(bboxes, keypoints, strict=True):
        known = bool(face) and bool(np.isfinite(joints[face, :2]).all())
        if known:
            _blur_disc(blurred, *_head(bbox, joints[:, :2], face, shoulders))
        if not known or not (joints[face, 2] > 0).any():
            x, y, w, h = bbox
            _blur_disc(blurred, np.array([x + w / 2, y + h / 8]), max(w / 2, h / 8))
    return blurred


def _head(
    bbox: np.ndarray, xy: np.ndarray, face: list[int], shoulders: list[int]
) -> tuple[np.ndarray, float]:
    w, h = bbox[2:]
    centre = xy[face].mean(axis=0)
    radius = _BEYOND * float(np.hypot(*(xy[face] - centre).T).max())
    if len(shoulders) == 2:
        radius = max(radius, _OF_SHOULDERS * float(np.hypot(*(xy[shoulders[0]] - xy[shoulders[1]]))))
    # Joints that lie all over the place must not blur half a picture.
    return centre, min(max(radius, _OF_BOX * max(w, h)), 0.5 * max(w, h))


def _blur_disc(pixels: np.ndarray, centre: np.ndarray, radius: float) -> None:
    height, width = pixels.shape[:2]
    x0, y0 = (int(max(0, np.floor(c - radius))) for c in centre)
    x1 = min(width, int(np.ceil(centre[0] + radius)) + 1)
    y1 = min(height, int(np.ceil(centre[1] + radius)) + 1)
    if x0 >= x1 or y0 >= y1:
        return
    part = pixels[y0:y1, x0:x1]
    cells = cv2.resize(part, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(cells, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_LINEAR)
    yy, xx = np.mgrid[y0:y1, x0:x1]
    inside = (xx - centre[0]) ** 2 + (yy - centre[1]) ** 2 <= radius**2
    part[inside] = smooth[inside]
