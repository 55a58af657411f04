"""Who is around somebody whom COCO ignores."""

from __future__ import annotations

import numpy as np

from annotator.evaluate.pairs import around_ignored
from annotator.evaluate.truth import TruePeople

BOXES = np.array([[100.0, 50, 60, 150], [550, 50, 120, 150], [1000, 0, 100, 100], [1000, 0, 100, 40]])


def truth(crowd: bool, joints: int) -> TruePeople:
    """A large box over the first two of `BOXES`, and one like the third."""
    bboxes = np.array([[0.0, 0, 600, 300], [1000, 0, 100, 100]])
    kinds = np.full(2, joints), np.full(2, crowd)
    return TruePeople(bboxes, bboxes[:, 2:].prod(axis=1), np.zeros((2, 17, 3)), *kinds)


def test_a_crowd_counts_by_the_share_of_the_box_inside_it() -> None:
    assert around_ignored(BOXES, truth(crowd=True, joints=0)).tolist() == [True, False, True, True]


def test_a_person_without_joints_counts_by_iou_and_any_other_not_at_all() -> None:
    assert around_ignored(BOXES, truth(crowd=False, joints=0)).tolist() == [False, False, True, False]
    assert not around_ignored(BOXES, truth(crowd=False, joints=9)).any()
    assert not around_ignored(BOXES, TruePeople.none(17)).any()
    assert around_ignored(np.zeros((0, 4)), truth(crowd=True, joints=0)).shape == (0,)
