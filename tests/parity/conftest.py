"""Small models of several codecs, and pictures to compare them on."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from annotator.models.sources import ModelSource, resolve_pose
from annotator.parity.pictures import Picture

# A network that takes no time, for whichever head and codec.
CONFIG = """
default_scope = 'mmpose'
codec = dict({codec})
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict({backbone}),
    {neck}
    head=dict({head}{decoder}),
    test_cfg=dict(flip_test=True, {test}))
test_dataloader = dict(dataset=dict(
    type='CocoDataset', data_mode='topdown',
    pipeline=[
        dict(type='LoadImage'), dict(type='GetBBoxCenterScale'),
        dict(type='TopdownAffine', input_size=codec['input_size'], use_udp={udp}),
        dict(type='PackPoseInputs')]))
"""
HEATMAP = (
    "type='HeatmapHead', in_channels=512, deconv_out_channels=(16, 16, 16), deconv_kernel_sizes=(4, 4, 4), "
    "out_channels=17, loss=dict(type='KeypointMSELoss', use_target_weight=True)"
)
SIZES = "input_size=(96, 128), heatmap_size=(24, 32)"
MODELS = {
    "msra": {"codec": f"type='MSRAHeatmap', {SIZES}, sigma=2", "head": HEATMAP, "test": "shift_heatmap=True"},
    "vis": {
        "codec": f"type='MSRAHeatmap', {SIZES}, sigma=2",
        "head": (
            "type='VisPredictHead', loss=dict(type='BCELoss', use_sigmoid=True), "
            f"pose_cfg=dict({HEATMAP}, decoder=codec)"
        ),
        "decoder": "",
        "test": "shift_heatmap=True",
    },
    "udp": {
        "codec": f"type='UDPHeatmap', {SIZES}, sigma=2",
        "head": HEATMAP,
        "test": "shift_heatmap=False",
        "udp": "True",
    },
    "dark": {
        "codec": f"type='MSRAHeatmap', {SIZES}, sigma=2, unbiased=True",
        "head": HEATMAP,
        "test": "shift_heatmap=True",
    },
    "udp combined": {
        "codec": f"type='UDPHeatmap', {SIZES}, sigma=2, heatmap_type='combined', radius_factor=0.0546875",
        "head": HEATMAP.replace("out_channels=17, ", "out_channels=51, ").replace(
            "type='KeypointMSELoss', use_target_weight=True",
            "type='CombinedTargetMSELoss', use_target_weight=True",
        ),
        "test": "flip_mode='udp_combined', shift_heatmap=False",
        "udp": "True",
    },
    "megvii": {
        "codec": f"type='MegviiHeatmap', {SIZES}, kernel_size=7",
        "backbone": (
            "type='MSPN', unit_channels=32, num_stages=1, num_units=4, num_blocks=[1, 1, 1, 1], "
            "norm_cfg=dict(type='BN')"
        ),
        "head": (
            "type='MSPNHead', out_shape=(32, 24), unit_channels=32, out_channels=17, num_stages=1, "
            "num_units=4, norm_cfg=dict(type='BN'), level_indices=[0, 1, 2, 3], "
            "loss=[dict(type='KeypointMSELoss', use_target_weight=True)] * 4"
        ),
        "test": "shift_heatmap=False",
    },
    "simcc": {
        "codec": "type='SimCCLabel', input_size=(96, 128), sigma=6.0, simcc_split_ratio=2.0",
        "head": (
            "type='SimCCHead', in_channels=512, out_channels=17, input_size=codec['input_size'], "
            "in_featuremap_size=(3, 4), simcc_split_ratio=2.0, deconv_out_channels=None, "
            "loss=dict(type='KLDiscretLoss', use_target_weight=True)"
        ),
    },
    "simcc dark": {
        "codec": "type='SimCCLabel', input_size=(96, 128), sigma=6.0, simcc_split_ratio=2.0, use_dark=True",
        "head": (
            "type='SimCCHead', in_channels=512, out_channels=17, input_size=codec['input_size'], "
            "in_featuremap_size=(3, 4), simcc_split_ratio=2.0, deconv_out_channels=None, "
            "loss=dict(type='KLDiscretLoss', use_target_weight=True)"
        ),
    },
    "regression": {
        "codec": "type='RegressionLabel', input_size=(96, 128)",
        "neck": "neck=dict(type='GlobalAveragePooling'),",
        "head": (
            "type='RegressionHead', in_channels=512, num_joints=17, "
            "loss=dict(type='SmoothL1Loss', use_target_weight=True)"
        ),
        "test": "shift_coords=True",
    },
    "rle": {
        "codec": "type='RegressionLabel', input_size=(96, 128)",
        "neck": "neck=dict(type='GlobalAveragePooling'),",
        "head": (
            "type='RLEHead', in_channels=512, num_joints=17, "
            "loss=dict(type='RLELoss', use_target_weight=True)"
        ),
        "test": "shift_coords=True",
    },
    "integral": {
        "codec": f"type='IntegralRegressionLabel', {SIZES}, sigma=2.0, normalize=True",
        "head": (
            "type='IntegralRegressionHead', in_channels=512, num_joints=17, in_featuremap_size=(3, 4), "
            "deconv_out_channels=(16, 16, 16), deconv_kernel_sizes=(4, 4, 4), "
            "loss=dict(type='SmoothL1Loss', use_target_weight=True)"
        ),
        "test": "shift_coords=True, shift_heatmap=True",
    },
}

DEFAULTS = {
    "backbone": "type='ResNet', depth=18",
    "neck": "",
    "test": "",
    "udp": "False",
    "decoder": ", decoder=codec",
}


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """`small_model("udp")`: a source with random weights."""
    folder = tmp_path_factory.mktemp("models")

    def make(name: str) -> ModelSource:
        path = folder / f"{name.replace(' ', '_')}.py"
        path.write_text(CONFIG.format(**DEFAULTS | MODELS[name]))
        return resolve_pose(str(path), "random")

    return make


@pytest.fixture(scope="session")
def pictures() -> list[Picture]:
    """Two textured pictures of different size with four boxes, one reaching out."""
    made = []
    for seed, (height, width) in enumerate([(240, 320), (301, 199)]):
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, (height // 12, width // 12, 3), dtype=np.uint8)
        pixels = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        boxes = np.array([[20.3, 15.7, 120.1, 200.9], [-10, 30, 90.5, 280]])
        made.append(Picture(pixels, boxes))
    return made


@pytest.fixture(scope="session")
def photos(assets) -> list[Picture]:
    """The real photos with the boxes of people whose keypoints are annotated."""
    truth = json.loads(assets.ground_truth.read_text())
    boxes: dict[int, list[list[float]]] = {}
    for person in truth["annotations"]:
        if person["num_keypoints"] and not person["iscrowd"]:
            x, y, w, h = person["bbox"]
            boxes.setdefault(person["image_id"], []).append([x, y, x + w, y + h])
    return [
        Picture(
            cv2.imread(str(assets.photos / image["file_name"]))[..., ::-1].copy(),
            np.array(boxes[image["id"]]),
        )
        for image in truth["images"]
        if image["id"] in boxes
    ]
