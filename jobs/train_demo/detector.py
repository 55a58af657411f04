"""Training of demo-detector with MMDetection; the model itself is the config that ships."""

# ruff: noqa: C408 - a config in the style of OpenMMLab

_base_ = ["../../annotator/models/demo/demo-detector.py"]

custom_imports = dict(imports=["perturb", "schedule"])

# Pictures are 4:3: nothing is padded but what the strides need.
size = (320, 256)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="RandomResize", scale=(320, 320), ratio_range=(0.75, 1.35), keep_ratio=True),
    dict(type="RandomCrop", crop_size=size, allow_negative_crop=True),
    dict(type="FilterAnnotations", min_gt_bbox_wh=(3, 3), keep_empty=False),
    dict(type="RandomFlip", prob=0.5),
    dict(type="Perturb", amount=0.3, patches=0.3, largest=0.25),
    dict(type="Pad", size=size, pad_val=dict(img=(114, 114, 114))),
    dict(type="PackDetInputs"),
]

train_dataset = dict(
    type="CocoDataset",
    metainfo=dict(classes=("person",)),
    filter_cfg=dict(filter_empty_gt=False, min_size=16),
    pipeline=train_pipeline,
)
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    prefetch_factor=4,
    drop_last=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
)

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-3, weight_decay=0.02),
    clip_grad=dict(max_norm=20.0),
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
