from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.models.openmmlab.mmlab import prepare
from annotator.pose.boxes import bbox_to_center_scale, box_around, usable, xywh_to_xyxy, xyxy_to_xywh

sides = st.floats(0.5, 4000)
corners = st.floats(-500, 5000)


@settings(deadline=None)
@given(
    corners, corners, sides, sides, st.sampled_from([np.float32, np.float64]), st.sampled_from([1.0, 1.25])
)
def test_center_and_scale_equal_mmpose(x, y, w, h, dtype, padding):
    prepare()
    from mmpose.datasets.transforms import GetBBoxCenterScale, TopdownAffine

    boxes = np.array([[x, y, x + w, y + h]], dtype)
    center, scale = bbox_to_center_scale(boxes, padding, 192 / 256)
    theirs = GetBBoxCenterScale(padding).transform({"bbox": boxes})
    assert theirs is not None
    np.testing.assert_array_equal(center, theirs["bbox_center"])
    np.testing.assert_array_equal(scale, TopdownAffine._fix_aspect_ratio(theirs["bbox_scale"], 192 / 256))
    assert center.dtype == theirs["bbox_center"].dtype == dtype
    assert scale[0, 0] / scale[0, 1] == pytest.approx(0.75, rel=1e-6)


def test_the_region_contains_the_padded_box_and_keeps_its_centre():
    center, scale = bbox_to_center_scale(np.array([[10, 20, 30, 100], [0, 0, 300, 10]]), 1.25, 0.75)
    np.testing.assert_allclose(center, [[20, 60], [150, 5]])
    np.testing.assert_allclose(scale, [[75, 100], [375, 500]])


def test_formats_are_inverse_and_leave_their_input_alone():
    boxes = np.array([[1.5, 2, 3, 4], [0, 0, 10, 20]])
    before = boxes.copy()
    np.testing.assert_array_equal(xywh_to_xyxy(boxes), [[1.5, 2, 4.5, 6], [0, 0, 10, 20]])
    np.testing.assert_array_equal(xyxy_to_xywh(xywh_to_xyxy(boxes)), boxes)
    np.testing.assert_array_equal(boxes, before)
    assert xywh_to_xyxy(np.zeros((0, 4))).shape == (0, 4)


def test_no_people():
    center, scale = bbox_to_center_scale(np.zeros((0, 4)), 1.25, 0.75)
    assert center.shape == scale.shape == (0, 2)


def test_usable_boxes():
    boxes = np.array([[0, 0, 1, 1], [5, 5, 5, 9], [5, 5, 9, 4], [0, np.nan, 1, 1], [0, 0, np.inf, 1]])
    assert usable(boxes).tolist() == [True, False, False, False, False]


def test_a_box_around_joints_is_wider_than_they_and_stays_in_the_image():
    joints = np.array([[100, 50], [140, 250], [120, 100]])
    assert box_around(joints, (640, 480)).tolist() == [80, 30, 80, 240]
    assert box_around(joints, (150, 260)).tolist() == [80, 30, 70, 230]
    assert box_around(joints[:1], (640, 480)).tolist() == [92, 42, 16, 16]
