"""Heads of bottom-up models: joints or centres from maps of the whole image, put together to people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from annotator.errors import UserError
from annotator.models.whole_image.head import Features, Found, Head
from annotator.pose.associative_embedding import AssociativeEmbedding
from annotator.pose.center_regression import CenterRegression, nearby_joints_nms
from annotator.pose.heatmaps import MSRAHeatmaps
from annotator.skeletons import Skeleton


class DEKR(Head):
    """DEKR (Geng et al. 2021): keypoints as displacements from centres, rescored, near twins removed."""

    def __init__(self, layers: Any, test_config: Mapping[str, Any], skeleton: Skeleton) -> None:
        super().__init__(layers, test_config, skeleton)
        codec = layers.decoder
        if not codec.generate_keypoint_heatmaps:
            raise UserError("DEKR without keypoint heatmaps has no keypoint scores and is not supported")
        self._codec = CenterRegression(
            scale=_pair(codec.scale_factor),
            nms_kernel=codec.decode_nms_kernel,
            threshold=codec.decode_thr,
            max_people=codec.decode_max_instances,
        )
        self._edges = [list(edge) for edge in skeleton.edges]

    def find(self, features: Features, mirrored: Features | None, size: tuple[int, int]) -> list[Found]:
        """See `Head.find`."""
        heatmaps, displacements = self.layers.forward(features)
        if mirrored is not None:
            other, back = self.layers.forward(mirrored)
            # The last map is that of the centres.
            heatmaps = (
                heatmaps + self._mirror_back(other, [*self.flip_indices, len(self.flip_indices)])
            ) / 2.0
            displacements = (displacements + self._point_back(back, size[0])) / 2.0
        return [self._decode(*maps) for maps in zip(heatmaps, displacements, strict=True)]

    def _point_back(self, displacements: Tensor, width: int) -> Tensor:
        """Displacements (N, 2K, H, W) of mirrored images as those of the images themselves."""
        n, c, h, w = displacements.shape
        back = displacements.reshape(n, c // 2, 2, h, w).flip(-1)[:, self.flip_indices]
        stride = width / w
        # Cells are anchored at their left edge, so a mirrored anchor lies (stride - 1) input pixels away.
        x = -back[:, :, 0] + (stride - 1) / stride
        return torch.stack([x, back[:, :, 1]], dim=2).reshape(n, c, h, w)

    def _decode(self, heatmaps: Tensor, displacements: Tensor) -> Found:
        keypoints, keypoint_scores, scores = self._codec.decode(
            heatmaps.contiguous(), displacements.contiguous()
        )
        rescore = self.layers.rescore_net
        if rescore is not None and self._edges and len(keypoints):
            rated = rescore(keypoints, keypoint_scores, self._edges)
            scores = scores * torch.where(rated.isnan(), 0.0, rated)
        points, joints = keypoints.cpu().numpy(), keypoint_scores.cpu().numpy()
        rescored = scores.cpu().numpy()[:, None] * joints
        share = self.config.get("nms_dist_thr", 0)
        if share > 0:
            kept = nearby_joints_nms(
                points,
                joints.mean(axis=1),
                share,
                self.config.get("nms_joints_thr"),
                self.config.get("max_num_people", 30),
            )
            points, rescored = points[kept], rescored[kept]
        return Found(points, rescored)


class CID(Head):
    """CID (Wang et al. 2022): heatmaps of one person at a time, from features sampled at his centre."""

    def __init__(self, layers: Any, test_config: Mapping[str, Any], skeleton: Skeleton) -> None:
        super().__init__(layers, test_config, skeleton)
        codec = layers.decoder
        self._codec = MSRAHeatmaps(tuple(codec.input_size), tuple(codec.heatmap_size))

    def find(self, features: Features, mirrored: Features | None, size: tuple[int, int]) -> list[Found]:
        """See `Head.find`."""
        maps = features[-1][:, None]
        if mirrored is not None:
            maps = torch.cat([maps, mirrored[-1].flip(-1)[:, None]], dim=1)
        return [self._find(both.contiguous(), size) for both in maps]

    def _find(self, maps: Tensor, size: tuple[int, int]) -> Found:
        """maps: (1, C, H, W) of one image, or (2, C, H, W) with those of its mirror image turned back."""
        layers, kernel = self.layers, self.config.get("blur_kernel_size", 3)
        flipped = len(maps) == 2
        vectors, centers, scores = layers.iia_module.forward_test(maps, {**self.config, "flip_test": flipped})
        if not len(centers):
            joints = len(self.flip_indices)
            return Found(np.zeros((0, joints, 2), np.float32), np.zeros((0, joints), np.float32))
        view = torch.zeros(len(centers), dtype=torch.long, device=maps.device)
        if flipped:
            view, centers = torch.cat([view, view + 1]), torch.cat([centers, centers])
        heatmaps = layers.gfd_module(maps, vectors, centers, view)
        if flipped:
            plain, back = heatmaps.chunk(2)
            heatmaps = (plain + back[:, self.flip_indices]) / 2.0
        blurred = functional.avg_pool2d(heatmaps, kernel, 1, (kernel - 1) // 2)
        heatmaps = ((heatmaps + blurred) / 2.0).contiguous()
        keypoints, keypoint_scores = self._codec.decode(heatmaps)
        height, width = heatmaps.shape[2:]
        half = torch.tensor([size[0] / width / 2, size[1] / height / 2], device=keypoints.device)
        keypoint_scores = keypoint_scores * scores[:, None]
        return Found((keypoints + half).cpu().numpy(), keypoint_scores.cpu().numpy())


class AE(Head):
    """Associative embedding (Newell et al. 2017) on higher-resolution features."""

    def __init__(self, layers: Any, test_config: Mapping[str, Any], skeleton: Skeleton) -> None:
        super().__init__(layers, test_config, skeleton)
        codec = layers.decoder
        if codec.use_udp or not layers.tag_per_keypoint:
            raise UserError(
                "associative embedding with use_udp, or without tag_per_keypoint, is not supported"
            )
        self._codec = AssociativeEmbedding(
            scale=_pair(codec.scale_factor),
            keypoint_order=tuple(codec.decode_keypoint_order),
            nms_kernel=codec.decode_nms_kernel,
            keypoint_threshold=codec.decode_keypoint_thr,
            tag_threshold=codec.decode_tag_thr,
            candidates=codec.decode_topk,
            center_shift=codec.decode_center_shift,
            max_people=codec.decode_max_instances,
        )

    def find(self, features: Features, mirrored: Features | None, size: tuple[int, int]) -> list[Found]:
        """See `Head.find`."""
        views = [self.layers.forward(features)]
        if mirrored is not None:
            heatmaps, tags = self.layers.forward(mirrored)
            views.append((self._mirror_back(heatmaps, self.flip_indices), self._mirror_tags(tags)))
        heatmaps = [self._resize(maps, size) for maps, _ in views]
        # Tags of both views stay side by side: two numbers tell people apart better than their mean.
        tags = torch.cat([self._resize(maps, size) for _, maps in views], dim=1)
        merged = sum(heatmaps[1:], heatmaps[0]) / len(heatmaps)
        decoded = (
            self._codec.decode(*maps) for maps in zip(merged.contiguous(), tags.contiguous(), strict=True)
        )
        return [Found(points, scores, scores=whole) for points, scores, whole in decoded]

    def _mirror_tags(self, tags: Tensor) -> Tensor:
        n, c, h, w = tags.shape
        by_joint = tags.reshape(n, -1, self.layers.num_keypoints, h, w)[:, :, self.flip_indices]
        return self._mirror_back(by_joint.reshape(n, c, h, w))

    def _resize(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        if not self.config.get("restore_heatmap_size", False):
            return maps
        return functional.interpolate(
            maps, size[::-1], mode="bilinear", align_corners=self.config.get("align_corners", False)
        )


def _pair(values: Any) -> tuple[float, float]:
    x, y = values
    return float(x), float(y)
