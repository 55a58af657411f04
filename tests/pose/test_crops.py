from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.models.openmmlab.mmlab import prepare
from annotator.pose.boxes import bbox_to_center_scale
from annotator.pose.crops import crop_batch_cv2, crop_batch_torch, to_image, warp_matrices

SIZES = [(192, 256), (288, 384), (256, 256)]


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Something with edges and texture."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = rng.integers(0, 30, image.shape, dtype=np.uint8)
    return np.ascontiguousarray(cv2.add(image, noise))


def people(n: int, seed: int, dtype: type = np.float64) -> np.ndarray:
    """Boxes of all sizes, some partly or wholly outside a 640 x 480 image."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-80, 500, (n, 2))
    wh = np.exp(rng.uniform(np.log(4), np.log(600), (n, 2)))
    return np.concatenate([xy, xy + wh], axis=1).astype(dtype)


def mmpose_crop(image: np.ndarray, box: np.ndarray, size: tuple[int, int], use_udp: bool) -> dict:
    prepare()
    from mmpose.datasets.transforms import GetBBoxCenterScale, TopdownAffine

    results = GetBBoxCenterScale().transform({"img": image, "bbox": box[None]})
    assert results is not None
    results = TopdownAffine(size, use_udp=use_udp).transform(results)
    assert results is not None
    return results


@settings(deadline=None)
@given(
    st.floats(-100, 5000),
    st.floats(-100, 5000),
    st.floats(1, 3000),
    st.floats(1, 3000),
    st.sampled_from(SIZES),
    st.booleans(),
    st.sampled_from([np.float32, np.float64]),
)
def test_warp_matrices_equal_mmpose(x, y, w, h, size, use_udp, dtype):
    prepare()
    from mmpose.structures.bbox import get_udp_warp_matrix, get_warp_matrix

    center, scale = bbox_to_center_scale(np.array([[x, y, x + w, y + h]], dtype), 1.25, size[0] / size[1])
    ours = warp_matrices(center, scale, size, use_udp)[0]
    theirs = (get_udp_warp_matrix if use_udp else get_warp_matrix)(center[0], scale[0], 0.0, output_size=size)
    assert ours.dtype == theirs.dtype
    corners = np.array([[x, y, 1], [x + w, y + h, 1]])
    np.testing.assert_allclose(
        corners @ ours.T.astype(float), corners @ theirs.T.astype(float), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("use_udp", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_crops_are_bit_equal_to_mmpose(size, use_udp):
    images = [photo(480, 640), photo(300, 900, 1)]
    boxes = people(24, 2)
    index = np.arange(24) % 2
    center, scale = bbox_to_center_scale(boxes, 1.25, size[0] / size[1])
    crops = crop_batch_cv2(images, index, warp_matrices(center, scale, size, use_udp), size)
    assert crops.shape == (24, size[1], size[0], 3)
    for i in range(24):
        theirs = mmpose_crop(images[index[i]], boxes[i], size, use_udp)
        np.testing.assert_array_equal(crops[i], theirs["img"])
        np.testing.assert_array_equal(center[i], theirs["input_center"])
        np.testing.assert_array_equal(scale[i], theirs["input_scale"])


@pytest.mark.parametrize("use_udp", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_torch_crops_equal_opencv(size, use_udp):
    images = [photo(480, 640), photo(301, 899, 1), photo(7, 5, 3)]
    boxes = people(60, 5)
    index = np.arange(60) % 3
    center, scale = bbox_to_center_scale(boxes, 1.25, size[0] / size[1])
    matrices = warp_matrices(center, scale, size, use_udp)
    expected = crop_batch_cv2(images, index, matrices, size)
    ours = crop_batch_torch([torch.from_numpy(i) for i in images], index, matrices, size).numpy()
    assert expected.std() > 20
    np.testing.assert_array_equal(ours, expected)


def test_a_person_without_extent_costs_nobody_else_the_crop():
    images = [photo(480, 640)]
    boxes = np.array([[50, 60, 50, 60], [100, 100, 200, 300], [np.nan, 0, 1, 1]], float)
    center, scale = bbox_to_center_scale(boxes, 1.25, 0.75)
    for use_udp in (False, True):
        matrices = warp_matrices(center, scale, (192, 256), use_udp)
        assert not matrices[[0, 2]].any()
        crops = crop_batch_cv2(images, np.zeros(3, int), matrices, (192, 256))
        np.testing.assert_array_equal(crops[1], mmpose_crop(images[0], boxes[1], (192, 256), use_udp)["img"])
        torch_crops = crop_batch_torch([torch.from_numpy(images[0])], np.zeros(3, int), matrices, (192, 256))
        np.testing.assert_array_equal(torch_crops[1].numpy(), crops[1])


def test_nobody():
    crops = crop_batch_cv2([], np.zeros(0, int), np.zeros((0, 2, 3)), (192, 256))
    assert crops.shape == (0, 256, 192, 3)
    assert crop_batch_torch([], np.zeros(0, int), np.zeros((0, 2, 3)), (192, 256)).shape == (0, 256, 192, 3)


@pytest.mark.parametrize("use_udp", [False, True])
def test_images_longer_than_opencv_takes(use_udp):
    strip = photo(64, 40000, 9)
    boxes = np.array([[39000, 0, 39200, 64], [100, 10, 150, 60]], float)
    center, scale = bbox_to_center_scale(boxes, 1.25, 0.75)
    crops = crop_batch_cv2(
        [strip], np.zeros(2, int), warp_matrices(center, scale, (192, 256), use_udp), (192, 256)
    )
    moved = np.array([[1000, 0, 1200, 64], [100, 10, 150, 60]], float)
    center, scale = bbox_to_center_scale(moved, 1.25, 0.75)
    parts = [np.ascontiguousarray(strip[:, 38000:]), np.ascontiguousarray(strip[:, :2000])]
    expected = crop_batch_cv2(
        parts, np.arange(2), warp_matrices(center, scale, (192, 256), use_udp), (192, 256)
    )
    difference = np.abs(crops.astype(int) - expected.astype(int))
    # float32 matrices of UDP place a region near pixel 39000 to 1/256 of a pixel only.
    assert difference.mean() < (1.5 if use_udp else 0.05)
    assert expected.std() > 20


def test_a_box_longer_than_opencv_takes_is_thinned_out():
    ramp = np.repeat(np.linspace(0, 255, 70000).astype(np.uint8)[None, :, None], 8, axis=0).repeat(3, axis=2)
    center, scale = bbox_to_center_scale(np.array([[0, 0, 70000, 8]], float), 1.0, 0.75)
    crop = crop_batch_cv2(
        [ramp], np.zeros(1, int), warp_matrices(center, scale, (192, 256), False), (192, 256)
    )
    row = crop[0, 128, :, 0].astype(float)
    assert row.max() > 0
    np.testing.assert_allclose(row, np.arange(192) / 192 * 255, atol=2)


@pytest.mark.parametrize("use_udp", [False, True])
def test_keypoints_return_to_the_image_as_in_mmpose(use_udp):
    prepare()
    from mmengine.structures import InstanceData
    from mmpose.models.pose_estimators.topdown import TopdownPoseEstimator
    from mmpose.structures import PoseDataSample

    size = (192, 256)
    boxes = people(6, 3)
    center, scale = bbox_to_center_scale(boxes, 1.25, 0.75)
    keypoints = np.random.default_rng(0).uniform(-10, 260, (6, 17, 2)).astype(np.float32)
    ours = to_image(keypoints, center, scale, size)
    assert ours.dtype == np.float32

    class Bare:
        test_cfg: dict = {}  # noqa: RUF012

    samples, predictions = [], []
    for i in range(6):
        meta = {"input_center": center[i], "input_scale": scale[i], "input_size": size}
        sample = PoseDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(bboxes=boxes[i : i + 1], bbox_scores=np.ones(1))
        samples.append(sample)
        predictions.append(
            InstanceData(keypoints=keypoints[i : i + 1].copy(), keypoint_scores=np.ones((1, 17)))
        )
    TopdownPoseEstimator.add_pred_to_datasample(Bare(), predictions, None, samples)  # type: ignore[arg-type]
    theirs = np.concatenate([s.pred_instances.keypoints for s in samples])
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_point_goes_to_the_crop_and_back():
    center, scale = bbox_to_center_scale(people(5, 1), 1.25, 0.75)
    matrices = warp_matrices(center, scale, (192, 256), False)
    points = center[:, None] + np.linspace(-0.4, 0.4, 7)[None, :, None] * scale[:, None]
    inside = np.einsum("nij,nkj->nki", matrices[:, :, :2], points) + matrices[:, None, :, 2]
    np.testing.assert_allclose(to_image(inside, center, scale, (192, 256)), points, atol=2e-3)


def test_rotated_maps_are_refused_by_torch_crops():
    matrix = np.array([[[1, 0.1, 0], [-0.1, 1, 0]]])
    with pytest.raises(ValueError, match="rotation"):
        crop_batch_torch([torch.zeros(4, 4, 3, dtype=torch.uint8)], np.zeros(1, int), matrix, (8, 8))
