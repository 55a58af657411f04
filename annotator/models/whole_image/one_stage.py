"""Heads of one-stage models: boxes and keypoints from the same cells of a grid over the image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchvision.ops
from torch import Tensor

from annotator.models.whole_image.head import Features, Found, Head


class OneStage(Head):
    """Boxes on a grid, suppressed by their overlap, each with keypoints of its own."""

    can_flip = False

    def _grid(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Centres (P, 2) and strides (P,) of the cells of all levels, in input pixels."""
        priors = self.layers.prior_generator.grid_priors(
            [level.shape[2:] for level in maps], dtype=maps[0].dtype, device=maps[0].device
        )
        strides = [
            centers.new_full((len(centers),), stride)
            for centers, stride in zip(priors, self.layers.featmap_strides, strict=True)
        ]
        return torch.cat(priors), torch.cat(strides)

    def _suppress(self, bboxes: Tensor, scores: Tensor) -> Tensor:
        """Indices of the boxes of one image (P, 4) that stay, best first; scores: (P,)."""
        good = torch.nonzero(scores > self.config.get("score_thr", 0.01))[:, 0]
        order = good[scores[good].argsort(descending=True)[: self.config.get("nms_pre", 100000)]]
        overlap = self.config.get("nms_thr", 1.0)
        if overlap < 1.0:
            order = order[torchvision.ops.nms(bboxes[order], scores[order], overlap)]
        return order

    @staticmethod
    def _found(
        size: tuple[int, int], bboxes: Tensor, scores: Tensor, keypoints: Tensor, visible: Tensor
    ) -> Found:
        corners = torch.tensor([*size, *size], dtype=bboxes.dtype, device=bboxes.device)
        bboxes = torch.minimum(bboxes.clamp(min=0), corners)
        arrays = (part.cpu().numpy() for part in (keypoints, visible, bboxes, scores))
        return Found(*arrays)


class YOLOXPose(OneStage):
    """YOLOX-Pose (Maji et al. 2022, with YOLOX' decoupled head): keypoints as offsets from the cell."""

    def find(self, features: Features, mirrored: Features | None, size: tuple[int, int]) -> list[Found]:
        """See `Head.find`."""
        layers = self.layers
        classes, objectness, boxes, offsets, visible = layers.forward(features)
        centers, strides = self._grid(classes)
        flat = layers._flatten_predictions
        scores = flat(classes).sigmoid().amax(dim=2) * flat(objectness).sigmoid()[..., 0]
        bboxes = layers.decode_bbox(flat(boxes), centers, strides)
        keypoints = layers.decode_kpt_reg(flat(offsets), centers, strides)
        visible = flat(visible).sigmoid()
        found = []
        for image in range(len(scores)):
            kept = self._suppress(bboxes[image], scores[image])
            parts = (part[image][kept] for part in (bboxes, scores, keypoints, visible))
            found.append(self._found(size, *parts))
        return found


class RTMO(OneStage):
    """RTMO (Lu et al. 2024): keypoints from two one-dimensional heatmaps over each box."""

    def find(self, features: Features, mirrored: Features | None, size: tuple[int, int]) -> list[Found]:
        """See `Head.find`."""
        layers = self.layers
        classes, boxes, _, visible, poses = layers.forward(features)
        centers, strides = self._grid(classes)
        flat = layers._flatten_predictions
        scores = flat(classes).sigmoid().amax(dim=2)
        bboxes = layers.decode_bbox(flat(boxes), centers, strides)
        visible, poses = flat(visible).sigmoid(), flat(poses)
        kept = [self._suppress(bboxes[image], scores[image]) for image in range(len(scores))]
        counts = [len(one) for one in kept]
        chosen = [
            torch.cat([part[image][one] for image, one in enumerate(kept)])
            for part in (bboxes, scores, visible, poses)
        ]
        bboxes, scores, visible, poses = chosen
        keypoints = bboxes.new_zeros((0, layers.num_keypoints, 2))
        if sum(counts):
            # People of all images in one pass of the coordinate classifier.
            padded = (bboxes[:, 2:] - bboxes[:, :2]) * layers.bbox_padding
            middle = (bboxes[:, 2:] + bboxes[:, :2]) * 0.5
            keypoints = layers.dcc.forward_test(
                poses, torch.cat([middle, padded], dim=1), centers[torch.cat(kept)]
            )
        parts = (part.split(counts) for part in (bboxes, scores, keypoints, visible))
        return [self._found(size, *one) for one in zip(*parts, strict=True)]
