"""What the head of a bottom-up or one-stage model is: features of a batch of whole images -> people of each.

Layers are MMPose's. What happens to their outputs (flip test, suppression, grouping, decoding) is here and
in `annotator.pose`, for whole batches and on their device where people of several images can share a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from annotator.skeletons import Skeleton

Features = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """People of one image as a head gives them.

    Attributes:
        keypoints: (N, K, 2) floating, pixels of the network's input.
        keypoint_scores: (N, K) float32.
        bboxes: (N, 4) float32 [x1, y1, x2, y2], pixels of the network's input; None where the model has none.
        scores: (N,) float32, the model's own score of the whole person; None where it has none.
    """

    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    bboxes: np.ndarray | None = None
    scores: np.ndarray | None = None


class Head:
    """What the estimator asks of a head.

    Args:
        layers: MMPose's head.
        test_config: the model's `test_cfg`.
        skeleton: of its keypoints.

    Attributes:
        can_flip: whether `find` takes mirrored features.
    """

    can_flip = True

    def __init__(self, layers: Any, test_config: Mapping[str, Any], skeleton: Skeleton) -> None:
        self.layers = layers
        self.config = test_config
        self.flip_indices = list(skeleton.flip_indices)

    def find(self, features: Features, mirrored: Features | None, size: tuple[int, int]) -> list[Found]:
        """The people of each image of a batch.

        Args:
            features: of backbone and neck, float32, N images each.
            mirrored: those of the mirrored images, not mirrored back; None without flip test.
            size: (width, height) of the network's input, pixels.
        """
        raise NotImplementedError

    def _mirror_back(self, maps: Tensor, indices: Sequence[int] | None = None) -> Tensor:
        """Maps (N, C, H, W) of mirrored images as maps of the images themselves."""
        maps = maps.flip(-1)
        maps = maps if indices is None else maps[:, list(indices)]
        return _shifted(maps) if self.config.get("shift_heatmap", False) else maps


def _shifted(maps: Tensor) -> Tensor:
    """Maps moved one cell right; the first column stays, as it has no left neighbour."""
    return torch.cat([maps[..., :1], maps[..., :-1]], dim=-1)
