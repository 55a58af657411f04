"""Training of demo-pose with MMPose; the model itself is the config that ships."""

# pyright: reportAttributeAccessIssue=false
# ruff: noqa: C408 - a config in the style of OpenMMLab

_base_ = ["../../annotator/models/demo/demo-pose.py"]

custom_imports = dict(
    imports=["arrays", "heatmaps", "losses", "muon", "nobody", "perturb", "precision", "schedule"]
)

codec = dict(_base_.codec, type="SeparableUDPHeatmap")
# Heatmaps of 17 joints, and 18 classes of body parts that are dropped from what ships.
model = dict(
    head=dict(out_channels=17 + 18, loss=dict(_delete_=True, type="JointsAndPartsLoss")),
    train_cfg=dict(compute_acc=False),
)

train_pipeline = [
    dict(
        type="RandomTopdown",
        input_size=codec["input_size"],
        heatmap_size=codec["heatmap_size"],
        shift=0.05,
        scale=(0.8, 1.25),
        turn=30,
    ),
    dict(type="Jumble", probability=0.04),
    dict(type="Perturb", amount=0.5),
    dict(type="GenerateTarget", encoder=codec),
    dict(type="ExpectNobody"),
    dict(type="AppendParts"),
    dict(type="PackPoseInputs", meta_keys=()),
]

train_dataset = dict(type="ArrayDataset", kind="people", fewest=1, nobody=0.08, pipeline=train_pipeline)
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    prefetch_factor=3,
    drop_last=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
)

optim_wrapper = dict(
    type="BFloat16OptimWrapper",
    optimizer=dict(type="MuonAdamW", lr=2e-3, weight_decay=0.02),
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

# The first minutes see nearly twice as many people in the same time (`train.py --input`).
small_codec = dict(codec, input_size=(64, 96), heatmap_size=(16, 24), sigma=1.25)
smaller = {
    "64x96": {
        "train_pipeline.0.input_size": small_codec["input_size"],
        "train_pipeline.0.heatmap_size": small_codec["heatmap_size"],
        "train_pipeline.3.encoder": small_codec,
    }
}
