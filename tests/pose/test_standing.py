"""The pose of which nothing is known yet: upright, whole, and in its box."""

from __future__ import annotations

import numpy as np
import pytest

from annotator.pose.standing import standing, standing_in
from annotator.skeletons import COCO_17, Skeleton


def test_a_body_stands_upright_and_faces_the_camera() -> None:
    places = dict(zip(COCO_17.keypoints, standing(COCO_17).tolist(), strict=True))
    heights = [places[f"left_{name}"][1] for name in ("eye", "shoulder", "hip", "knee", "ankle")]
    assert heights == sorted(heights)
    for name in ("shoulder", "wrist", "ankle"):
        assert places[f"left_{name}"][0] > places[f"right_{name}"][0]


@pytest.mark.parametrize("joints", [1, 2, 21, 133])
def test_joints_of_any_other_skeleton_are_apart_and_in_the_box(joints: int) -> None:
    names = tuple(f"joint {n}" for n in range(joints))
    skeleton = Skeleton("other", names, (), tuple(range(joints)), (0.1,) * joints)
    for of in (skeleton, COCO_17):
        points = standing_in(np.array([0.25, 0.5, 0.5, 0.25]), of)
        assert points.shape == (len(of), 2)
        assert (points > [0.25, 0.5]).all() and (points < [0.75, 0.75]).all()
        assert len(np.unique(points.round(9), axis=0)) == len(of)
