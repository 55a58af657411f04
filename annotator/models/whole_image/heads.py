"""Which of our heads stands for which of MMPose's, for models that look at whole images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from annotator.errors import UserError
from annotator.models.whole_image.bottom_up import AE, CID, DEKR
from annotator.models.whole_image.head import Head
from annotator.models.whole_image.one_stage import RTMO, YOLOXPose
from annotator.skeletons import Skeleton

FAMILIES: dict[str, Callable[..., Head]] = {
    "RTMOHead": RTMO,
    "YOLOXPoseHead": YOLOXPose,
    "DEKRHead": DEKR,
    "CIDHead": CID,
    "AssociativeEmbeddingHead": AE,
}


def make_head(layers: nn.Module, test_config: Mapping[str, Any], skeleton: Skeleton, name: str) -> Head:
    """The counterpart of an MMPose head.

    Raises:
        UserError: it is not one of those that work on whole images, or is set up in a way not supported.
    """
    kind = type(layers).__name__
    if kind not in FAMILIES:
        raise UserError(
            f"{name} has a {kind}; of models for whole images, those with {', '.join(FAMILIES)} can be run"
        )
    if test_config.get("multiscale_test", False):
        raise UserError(f"{name}: multiscale_test is not supported, set it to False in the model's test_cfg")
    return FAMILIES[kind](layers, test_config, skeleton)
