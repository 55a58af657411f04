"""Training of demo-pose with MMPose; the model itself is the config that ships."""

# pyright: reportAttributeAccessIssue=false
# ruff: noqa: C408 - a config in the style of OpenMMLab

_base_ = ["../../annotator/models/demo/demo-pose.py"]

custom_imports = dict(imports=["averages", "losses", "muon", "precision", "schedule", "topdown"])

# Heatmaps of 17 joints, and 18 classes of body parts that are dropped from what ships.
model = dict(
    type="BatchTopdown",
    data_preprocessor=dict(type="ImgDataPreprocessor"),
    # Blocks that a checkpoint does not have change nothing at first: networks can grow deeper and go on.
    backbone=dict(zero_init_residual=True),
    head=dict(out_channels=17 + 18, loss=dict(_delete_=True, type="JointsAndPartsLoss")),
)

train_loop = "BatchLoop"
train_dataloader = dict(
    batch=64,
    input_size=_base_.codec["input_size"],
    heatmap_size=_base_.codec["heatmap_size"],
    sigma=_base_.codec["sigma"],
    shift=0.05,
    scale=(0.8, 1.25),
    turn=30,
    nobody=0.074,
    jumbled=0.04,
    perturb=0.5,
)

optim_wrapper = dict(
    type="BFloat16OptimWrapper",
    optimizer=dict(type="MuonAdamW", lr=2e-3, weight_decay=0.02),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0),
)
ema = dict(
    type="EMAHook",
    ema_type="ForeachEMA",
    momentum=0.002,
    gamma=200,
    priority=49,
)

# The first minutes see nearly twice as many people in the same time (`train.py --input`).
smaller = {
    "64x96": {
        "train_dataloader.input_size": (64, 96),
        "train_dataloader.heatmap_size": (16, 24),
        "train_dataloader.sigma": 1.25,
    },
    "96x128": {
        "train_dataloader.input_size": (96, 128),
        "train_dataloader.heatmap_size": (24, 32),
        "train_dataloader.sigma": 1.5,
    },
}
