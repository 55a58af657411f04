"""demo-pose: a narrow ResNet-18 with heatmaps, trained on synthetic people only (see MODEL_CARD.md)."""

# ruff: noqa: C408, N999 - a config in the style of OpenMMLab

default_scope = "mmpose"

codec = dict(type="UDPHeatmap", input_size=(96, 128), heatmap_size=(24, 32), sigma=1.5, blur_kernel_size=7)

model = dict(
    type="TopdownPoseEstimator",
    data_preprocessor=dict(
        type="PoseDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(type="ResNet", depth=18, base_channels=32, stem_channels=32, norm_eval=False),
    head=dict(
        type="HeatmapHead",
        in_channels=256,
        out_channels=17,
        deconv_out_channels=(64, 64, 64),
        deconv_kernel_sizes=(4, 4, 4),
        loss=dict(type="KeypointMSELoss", use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(flip_test=True, flip_mode="heatmap", shift_heatmap=False),
)

test_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale"),
    dict(type="TopdownAffine", input_size=codec["input_size"], use_udp=True),
    dict(type="PackPoseInputs"),
]

test_dataloader = dict(
    batch_size=32,
    dataset=dict(
        type="CocoDataset",
        data_mode="topdown",
        metainfo=dict(from_file="configs/_base_/datasets/coco.py"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
