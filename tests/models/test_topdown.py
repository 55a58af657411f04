"""The top-down estimator: batches, people without extent, values that are not finite, own skeletons."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from annotator.errors import UserError
from annotator.models import crops_ahead
from annotator.models.engines.engine import Normalization, TorchEngine
from annotator.models.engines.outputs import split
from annotator.models.skeleton import subset
from annotator.models.sources import ModelSource, resolve_pose
from annotator.models.topdown import TopDown
from annotator.people import Detections
from annotator.pose.crops import crop_batch_cv2
from annotator.skeletons import COCO_17

SKELETON = """dict(
    dataset_name='two', keypoint_info={
        0: dict(name='left', id=0, color=[0, 0, 0], type='', swap='right'),
        1: dict(name='right', id=1, color=[0, 0, 0], type='', swap='left')},
    skeleton_info={0: dict(link=('left', 'right'), id=0, color=[0, 0, 0])},
    joint_weights=[1.0, 1.0], sigmas=[0.1, 0.1])"""
CONFIG = f"""
default_scope = 'mmpose'
codec = dict(type='MSRAHeatmap', input_size=(48, 64), heatmap_size=(12, 16), sigma=2)
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='ResNet', depth=18,
        init_cfg=dict(type='Pretrained', checkpoint='https://127.0.0.1:9/absent.pth')),
    head=dict(
        type='HeatmapHead', in_channels=512, out_channels=2, deconv_out_channels=(8, 8, 8),
        deconv_kernel_sizes=(4, 4, 4), loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=codec),
    test_cfg=dict(flip_test=True, flip_mode='heatmap', shift_heatmap=True))
test_dataloader = dict(dataset=dict(
    type='CocoDataset', data_mode='topdown', metainfo={SKELETON},
    pipeline=[
        dict(type='LoadImage'), dict(type='GetBBoxCenterScale'),
        dict(type='TopdownAffine', input_size=codec['input_size']), dict(type='PackPoseInputs')]))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    config = tmp_path_factory.mktemp("topdown") / "two.py"
    config.write_text(CONFIG)
    return resolve_pose(str(config), "random")


@pytest.fixture(scope="module")
def model(source: ModelSource) -> TopDown:
    return TopDown(source, batch_people=3)


def images(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (80 + 7 * i, 100 + 5 * i, 3), np.uint8) for i in range(count)]


BOXES = [
    np.array([[10.0, 10, 60, 70], [0, 0, 30, 50]]),
    np.zeros((0, 4)),
    np.array([[20.5, 5.25, 90, 99], [-20, -10, 300, 400], [50, 50, 51, 90]]),
]


def test_the_config_is_honoured(model: TopDown) -> None:
    assert model.input_size == (48, 64) and model.flip
    assert model.skeleton.keypoints == ("left", "right") and model.skeleton.sigmas == (0.1, 0.1)
    assert model.skeleton.flip_indices == (1, 0)


def test_batches_of_any_size_give_the_same_as_people_one_by_one(model: TopDown) -> None:
    pictures = images(3)
    together = model.estimate(pictures, [Detections(b, np.full(len(b), 0.5, np.float32)) for b in BOXES])
    assert [len(poses) for poses in together] == [2, 0, 3]
    for picture, boxes, poses in zip(pictures, BOXES, together, strict=True):
        for i in range(len(boxes)):
            [alone] = model.estimate([picture], [boxes[i : i + 1]])
            assert np.abs(alone.keypoints[0] - poses.keypoints[i]).max() < 1e-3
            assert np.abs(alone.keypoint_scores[0] - poses.keypoint_scores[i]).max() < 1e-5
            assert poses.scores[i] == pytest.approx(alone.scores[0] * 0.5, abs=1e-5)
        assert np.array_equal(poses.bboxes[:, 2:], boxes[:, 2:] - boxes[:, :2])
        assert poses.keypoints.dtype == np.float32 and poses.bboxes.dtype == np.float64


def test_random_weights_are_the_same_each_time(source: ModelSource, model: TopDown) -> None:
    torch.rand(3)
    again = TopDown(source).estimate(images(1), BOXES[:1])[0]
    assert np.array_equal(again.keypoint_scores, model.estimate(images(1), BOXES[:1])[0].keypoint_scores)


def test_both_halves_of_the_flip_test_and_the_spread_of_the_maps_come_along(model: TopDown) -> None:
    from annotator.pose.entropy import heatmap_entropy

    [poses] = model.estimate(images(1), BOXES[:1])
    assert poses.halves is not None and poses.halves.shape == (2, 2, 2, 2)
    assert poses.keypoint_entropies is not None and (poses.keypoint_entropies > 0).all()
    crops = torch.randint(0, 256, (3, 64, 48, 3), dtype=torch.uint8)
    with torch.inference_mode():
        plain, mirrored = split(model.engine(crops, mirror=True), 3)
        points, scores, entropies = model._look(crops)
        for place, outputs in ((1, plain), (2, model._flip_test.back(mirrored))):
            torch.testing.assert_close(points[:, place], model.decode(outputs)[0])
        average, expected = model.decode(plain, mirrored)
        torch.testing.assert_close(points[:, 0], average)
        torch.testing.assert_close(scores, expected)
        torch.testing.assert_close(entropies, heatmap_entropy(model._flip_test.merge(plain, mirrored)))


def test_without_a_flip_test_there_are_no_halves(source: ModelSource) -> None:
    [poses] = TopDown(source, flip=False).estimate(images(1), BOXES[:1])
    assert poses.halves is None and poses.keypoint_entropies is not None


def test_nobody_is_no_work(model: TopDown) -> None:
    assert model.estimate([], []) == []
    [poses] = model.estimate(images(1), [np.zeros((0, 4))])
    assert len(poses) == 0 and poses.keypoints.shape == (0, 2, 2)


def test_boxes_without_extent_cost_nobody_else(model: TopDown) -> None:
    boxes = np.array([[10.0, 10, 60, 70], [30, 40, 30, 90], [np.nan, 0, 5, 5], [60, 60, 20, 20]])
    [poses] = model.estimate(images(1), [boxes])
    [alone] = model.estimate(images(1), [boxes[:1]])
    assert np.allclose(poses.keypoints[0], alone.keypoints[0], atol=1e-3)
    assert np.array_equal(poses.keypoints[1], [[30, 65], [30, 65]])
    assert (
        np.isfinite(poses.keypoints).all()
        and not poses.keypoint_scores[1:].any()
        and not poses.scores[1:].any()
    )


class Faulty:
    """An engine whose network fails for crops that are black at their first pixel."""

    device, precision = torch.device("cpu"), "fp32"

    def __call__(self, crops: torch.Tensor, mirror: bool = False) -> torch.Tensor:
        crops = torch.cat([crops, crops.flip(2)]) if mirror else crops
        heatmaps = torch.rand(len(crops), 2, 16, 12, generator=torch.Generator().manual_seed(0))
        heatmaps[crops[:, 32, 24].sum(dim=1) == 0, 1, 3, 3] = torch.nan
        return heatmaps


def test_values_that_are_not_finite_are_shown_and_stay_with_their_person(source: ModelSource) -> None:
    pictures = images(2)
    pictures[0][:] = np.maximum(pictures[0], 1)
    pictures[1][:] = 0
    good, bad = TopDown(source, engine=Faulty()).estimate(pictures, [BOXES[0], BOXES[0]])
    assert np.isfinite(good.keypoints).all() and np.isfinite(good.scores).all()
    assert (
        np.isnan(bad.keypoint_scores).all() and np.isnan(bad.scores).all() and np.isnan(bad.keypoints).all()
    )


def test_the_device_running_out_of_memory_halves_the_batch(source: ModelSource) -> None:
    sizes = []

    class Small(Faulty):
        def __call__(self, crops: torch.Tensor, mirror: bool = False) -> torch.Tensor:
            sizes.append(len(crops))
            if len(crops) > 2:
                raise torch.cuda.OutOfMemoryError("out of memory")
            return super().__call__(crops, mirror)

    poses = TopDown(source, engine=Small(), batch_people=8).estimate(images(3), BOXES)
    assert [len(found) for found in poses] == [2, 0, 3] and sizes == [5, 2, 2, 1]


def test_each_crop_is_made_once_and_ahead_of_its_pass(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[bool, int]] = []

    def crop(images, image_index, *rest):
        made.append((threading.current_thread() is threading.main_thread(), len(image_index)))
        return crop_batch_cv2(images, image_index, *rest)

    monkeypatch.setattr(crops_ahead, "crop_batch_cv2", crop)
    model = TopDown(source, engine=Faulty(), batch_people=3)
    model.estimate(images(1), [np.tile(BOXES[0][:1], (7, 1))])
    assert made == [(True, 3), (False, 2), (False, 2)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("MSRAHeatmap", "NoSuchCodec", "NoSuchCodec"),
        ("type='ResNet'", "type='NoSuchNet'", "cannot build.*NoSuchNet"),
        ("depth=18", "depth=19", "cannot build"),
        ("out_channels=2", "out_channels=5", "no skeleton for the 5 keypoints.*names 2"),
        ("dict(type='GetBBoxCenterScale'),", "", "no GetBBoxCenterScale"),
        ("test_dataloader", "other", "no test_dataloader"),
        ("TopdownPoseEstimator", "BottomupPoseEstimator", "not a top-down model|cannot build"),
    ],
)
def test_configs_that_cannot_work_say_why(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "two.py").write_text(CONFIG.replace(old, new))
    with pytest.raises(UserError, match=message):
        TopDown(resolve_pose(str(tmp_path / "two.py"), "random"))


def test_weights_of_another_network_are_refused(source: ModelSource, tmp_path: Path) -> None:
    torch.save({"state_dict": {"backbone.conv1.weight": torch.zeros(64, 3, 7, 7)}}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="lack"):
        TopDown(resolve_pose(source.config_path, str(tmp_path / "w.pth")))


def test_bfloat16_is_close_to_float32(source: ModelSource, model: TopDown) -> None:
    half = TopDown(source, precision="bf16")
    [a], [b] = (m.estimate(images(1), BOXES[:1]) for m in (model, half))
    assert 0 < np.abs(a.keypoint_scores - b.keypoint_scores).max() < 0.1 * np.abs(a.keypoint_scores).max()


@pytest.mark.parametrize("precision", ["fp16", "int4"])
def test_a_precision_that_cannot_be_used_is_an_error(source: ModelSource, precision: str) -> None:
    with pytest.raises(UserError, match=precision):
        TopDown(source, device="cpu", precision=precision)


@pytest.mark.parametrize("rgb", [True, False])
def test_the_engine_normalises_in_the_networks_channel_order_and_mirrors(rgb: bool) -> None:
    mean, std = (10.0, 20.0, 30.0), (1.0, 2.0, 4.0)
    crops = torch.randint(0, 256, (2, 4, 6, 3), dtype=torch.uint8)
    engine = TorchEngine(torch.nn.Identity(), Normalization(mean, std, rgb), (6, 4))
    plain, mirrored = split(engine(crops, mirror=True), 2)
    ordered = crops if rgb else crops.flip(3)
    expected = ((ordered.float() - torch.tensor(mean)) / torch.tensor(std)).permute(0, 3, 1, 2)
    assert torch.equal(plain, expected) and torch.equal(mirrored, expected.flip(3))


def test_some_joints_of_a_skeleton() -> None:
    part = subset(COCO_17, [5, 0, 6, 7])
    assert part.keypoints == ("left_shoulder", "nose", "right_shoulder", "left_elbow")
    assert part.flip_indices == (2, 1, 0, 3) and set(part.edges) == {(0, 2), (0, 3)}
