"""People in the frame of a larger picture: joints go by pixel centres, boxes by edges or by their joints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from annotator.pose.boxes import extent


def test_boxes_keep_their_edges_and_boxes_of_joints_keep_their_joints(people) -> None:
    given, of_joints = [10.0, 20.0, 30.0, 60.0], [50.0, 20.0, 30.0, 60.0]
    small = people([given, of_joints])
    small = replace(small, bboxes=np.concatenate([small.bboxes[:1], extent(small.keypoints[1:])]))
    large = small.scaled(4)
    np.testing.assert_array_equal(large.bboxes[0], np.multiply(given, 4))
    np.testing.assert_array_equal(large.bboxes[1], extent(large.keypoints)[1])
    np.testing.assert_allclose(large.keypoints, small.keypoints * 4 + 1.5)
    np.testing.assert_allclose(large.bboxes[1, :2], large.keypoints[1].min(axis=0))


def test_nobody_scales_to_nobody(people) -> None:
    assert people().scaled(2).bboxes.shape == (0, 4)
