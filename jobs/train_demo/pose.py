"""Training of demo-pose with MMPose; the model itself is the config that ships."""

# pyright: reportAttributeAccessIssue=false
# ruff: noqa: C408 - a config in the style of OpenMMLab

_base_ = ["../../annotator/models/demo/demo-pose.py"]

custom_imports = dict(imports=["losses", "perturb", "schedule"])

model = dict(head=dict(loss=dict(_delete_=True, type="PeakWeightedMSELoss", peak=20.0, loss_weight=100.0)))

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale"),
    dict(type="RandomFlip", direction="horizontal"),
    dict(type="RandomRegion", shift=0.04, scale=(0.85, 1.2), turn=20),
    dict(type="TopdownAffine", input_size=_base_.codec["input_size"], use_udp=True),
    dict(type="Perturb", amount=0.3),
    dict(type="GenerateTarget", encoder=_base_.codec),
    dict(type="PackPoseInputs"),
]

train_dataset = dict(
    type="CocoDataset",
    data_mode="topdown",
    metainfo=dict(from_file="configs/_base_/datasets/coco.py"),
    pipeline=train_pipeline,
)
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    prefetch_factor=4,
    drop_last=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
)

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0),
)
ema = dict(
    type="EMAHook",
    ema_type="ExpMomentumEMA",
    momentum=0.002,
    gamma=200,
    update_buffers=True,
    priority=49,
)
