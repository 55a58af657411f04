"""Training of demo-detector with MMDetection; the model itself is the config that ships."""

# ruff: noqa: C408 - a config in the style of OpenMMLab

_base_ = ["../../annotator/models/demo/demo-detector.py"]

custom_imports = dict(imports=["averages", "losses", "muon", "pictures", "precision", "schedule"])

# What finds joints finds people: the backbone begins as that of demo-pose, and its first layers stay.
model = dict(
    data_preprocessor=dict(
        type="PerturbedDetPreprocessor", perturb=dict(amount=0.3, patches=0.3, largest=0.25)
    ),
    backbone=dict(frozen_stages=1, norm_eval=False),
    bbox_head=dict(type="Float32RTMDetSepBNHead"),
)

# Pictures are 4:3: nothing is padded but what the strides need.
size = (480, 384)

train_pipeline = [
    dict(type="RandomView", size=size, scale=(0.8, 1.55), smallest=5),
    dict(type="PackDetInputs", meta_keys=("img_shape", "scale_factor")),
]

train_dataset = dict(type="PictureArrays", pipeline=train_pipeline)
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    prefetch_factor=3,
    drop_last=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
)

optim_wrapper = dict(
    type="BFloat16OptimWrapper",
    optimizer=dict(type="MuonAdamW", lr=2e-3, weight_decay=0.02),
    clip_grad=dict(max_norm=20.0),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0),
)
ema = dict(
    type="EMAHook",
    ema_type="ForeachEMA",
    momentum=0.002,
    gamma=200,
    priority=49,
)

# The first minutes see parts of pictures, four times as many in the same time (`train.py --input`).
smaller = {
    "192x160": {"train_pipeline.0.size": (192, 160), "train_pipeline.0.scale": (0.4, 1.0)},
    "416x320": {"train_pipeline.0.size": (416, 320), "train_pipeline.0.scale": (0.78, 1.43)},
    "320x256": {"train_pipeline.0.size": (320, 256), "train_pipeline.0.scale": (0.6, 1.1)},
}
