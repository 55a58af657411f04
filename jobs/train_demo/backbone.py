"""Training of the backbone that demo-detector begins with: a pose model on the detector's ResNet-18."""

# ruff: noqa: C408 - a config in the style of OpenMMLab

_base_ = ["pose.py"]

model = dict(
    backbone=dict(
        _delete_=True, type="ResNet", depth=18, base_channels=32, stem_channels=32, norm_eval=False
    ),
    head=dict(in_channels=256, deconv_out_channels=(64, 64, 64), deconv_kernel_sizes=(4, 4, 4)),
)
