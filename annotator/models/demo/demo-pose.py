"""demo-pose: a small HRNet with heatmaps, trained on synthetic people only (see MODEL_CARD.md)."""

# ruff: noqa: C408, N999 - a config in the style of OpenMMLab

default_scope = "mmpose"

codec = dict(type="UDPHeatmap", input_size=(128, 160), heatmap_size=(32, 40), sigma=2.0, blur_kernel_size=5)

# Of the branches, from fine to coarse.
channels = (32, 64, 128, 256)

model = dict(
    type="TopdownPoseEstimator",
    data_preprocessor=dict(
        type="PoseDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type="HRNet",
        in_channels=3,
        norm_eval=False,
        extra={
            f"stage{n}": dict(
                num_modules=1,
                num_branches=n,
                block="BASIC",
                num_blocks=(2,) * n,
                num_channels=channels[:n],
            )
            for n in (1, 2, 3, 4)
        },
    ),
    head=dict(
        type="HeatmapHead",
        in_channels=32,
        out_channels=17,
        deconv_out_channels=None,
        loss=dict(type="KeypointMSELoss", use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(flip_test=True, flip_mode="heatmap", shift_heatmap=False),
)

test_pipeline = [
    dict(type="LoadImage"),
    # A larger person than MMPose's 1.25 gives, on so small an input; training saw 1.0 to 1.56.
    dict(type="GetBBoxCenterScale", padding=1.15),
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
