"""What reviewers made of one person's joints: vertices that were dragged, and visibilities that were set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotator.review.decisions import UNSET
from annotator.review.documents import Document
from annotator.review.mirror import Mirror, dragged, to_pixels
from annotator.review.moments import iso


@dataclass(frozen=True, slots=True)
class Corrected:
    """Joints as they were left.

    Attributes:
        xyv: (K, 3) float64, pixels of the upright image, v of COCO.
        changed: (K,) bool, moved or set otherwise.
        outside: whether a joint was moved out of the image.
    """

    xyv: np.ndarray
    changed: np.ndarray
    outside: bool


def corrected(
    label: Document, line: Document | None, row: np.ndarray, size: tuple[int, int], mirror: Mirror
) -> Corrected | None:
    """A person's joints, where nobody touched them those of `row`; None when the line cannot be read.

    Args:
        label, line: keypoints and pose of the person in FiftyOne; a line may have been deleted.
        row: (K, 3) x, y, v that they were drawn from, pixels. size: (width, height) of the image.
    """
    xy, visible, moved = row[:, :2], row[:, 2].copy(), np.zeros(len(row), bool)
    outside = moved
    if line is not None:
        now, was = mirror.to_points(line["points"]), mirror.to_points(line["drawn"])
        if now is None or was is None:
            return None
        moved = dragged(now, was)
        xy = np.where(moved[:, None], to_pixels(now, np.array(size)), xy)
        # Somebody who moves a joint sees it, or knows where it is: it is labelled from now on, in the image.
        visible[moved & (visible == 0)] = 2
        outside = moved & ((now < 0) | (now >= 1)).any(axis=1)
        visible[outside] = 0
    if label.get("visible_set"):
        wanted = np.array(label["visible_set"], np.float32)
        visible = np.where(wanted == UNSET, visible, wanted)
    xyv = np.concatenate([xy, visible[:, None]], axis=1)
    return Corrected(xyv, moved | (visible != row[:, 2]), bool(outside.any()))


def last_hand(label: Document) -> tuple[str | None, str | None]:
    """Who moved a person's joints or set visibilities last, and when; None if unknown."""
    moved, was_set = label.get("edited_at"), label.get("visible_at")
    if moved is not None and (was_set is None or moved > was_set):
        return label.get("edited_by"), iso(moved)
    return label.get("visible_by"), iso(was_set)
