"""demo-detector: RTMDet's head on a narrow ResNet-18, trained on synthetic people (see MODEL_CARD.md)."""

# ruff: noqa: C408, N999 - a config in the style of OpenMMLab

default_scope = "mmdet"

input_size = (480, 480)

model = dict(
    type="RTMDet",
    use_syncbn=False,
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        batch_augments=None,
    ),
    backbone=dict(
        type="ResNet",
        depth=18,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(1, 2),
        base_channels=32,
        stem_channels=32,
        frozen_stages=-1,
        norm_eval=False,
    ),
    neck=dict(
        type="FPN",
        in_channels=[64, 128],
        out_channels=48,
        num_outs=3,
        add_extra_convs="on_output",
        norm_cfg=dict(type="BN"),
    ),
    bbox_head=dict(
        type="RTMDetSepBNHead",
        num_classes=1,
        in_channels=48,
        feat_channels=48,
        stacked_convs=2,
        share_conv=False,
        exp_on_reg=False,
        pred_kernel_size=1,
        with_objectness=False,
        anchor_generator=dict(type="MlvlPointGenerator", offset=0, strides=[8, 16, 32]),
        bbox_coder=dict(type="DistancePointBBoxCoder"),
        loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
        norm_cfg=dict(type="BN"),
        act_cfg=dict(type="ReLU", inplace=True),
    ),
    train_cfg=dict(
        assigner=dict(type="DynamicSoftLabelAssigner", topk=13), allowed_border=-1, pos_weight=-1, debug=False
    ),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type="nms", iou_threshold=0.65),
        max_per_img=100,
    ),
)

test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=input_size, keep_ratio=True),
    dict(type="Pad", size=input_size, pad_val=dict(img=(114, 114, 114))),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]

test_dataloader = dict(
    batch_size=8,
    dataset=dict(
        type="CocoDataset",
        metainfo=dict(classes=("person",)),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
