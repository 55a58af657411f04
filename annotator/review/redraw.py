"""Skeletons and boxes of added people as their lines are: whoever decides sees these, and not the lines."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from annotator.pose.boxes import box_around
from annotator.review.corrected import corrected
from annotator.review.documents import Document
from annotator.review.fields import BOXES, KEYPOINTS, POSES, skeleton_of
from annotator.review.mirror import Mirror, mirror_of, to_fractions, to_pixels
from annotator.review.one_sample import change_sample, size_of
from annotator.store.person_ids import is_added, item_of


def redraw(dataset: Any, people: Iterable[int]) -> None:
    """Let skeletons, and boxes that nobody drew, follow what reviewers made of added people's lines.

    What a pull reads stays as it is.

    Args:
        people: ids; those of the run's own people are left alone.
    """
    those = {person for person in people if is_added(person)}
    if not those:
        return
    change = partial(_redrawn, people=those, mirror=mirror_of(skeleton_of(dataset)))
    for index in {item_of(person) for person in those}:
        change_sample(dataset, {"index": index}, change)


def _redrawn(sample: Document, people: set[int], mirror: Mirror) -> Document:
    size = size_of(sample)
    lines, boxes = ({label.get("person"): label for label in sample[name]} for name in (POSES, BOXES))
    for label in sample[KEYPOINTS]:
        line, box = lines.get(label.get("person")), boxes.get(label.get("person"))
        if label.get("person") not in people or line is None:
            continue
        drawn = mirror.to_points(line["drawn"])
        assert drawn is not None
        row = np.column_stack([to_pixels(drawn, size), label["visible"]])
        found = corrected(label, line, row, size, mirror)
        if found is None:
            continue
        there = found.xyv[:, 2] > 0
        fractions = to_fractions(found.xyv[:, :2], size)
        label["points"] = np.where(there[:, None], fractions, np.nan).tolist()
        if box is not None and box["bounding_box"] == box.get("drawn") and there.any():
            around = box_around(found.xyv[there, :2], size) / np.tile(size, 2)
            box["bounding_box"] = box["drawn"] = around.tolist()
    return sample
