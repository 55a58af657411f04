"""Keypoints of many people from heatmaps and tags: associative embedding (Newell et al. 2017).

Joints are peaks of the heatmaps; those whose tags are alike belong to one person. Written from the behaviour
of MMPose's `AssociativeEmbedding` codec, down to the order in which ties are decided.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from annotator.pose.peaks import cells


@dataclass(frozen=True)
class AssociativeEmbedding:
    """Parameters of the codec.

    Attributes:
        scale: (x, y) input pixels a cell of the maps.
        keypoint_order: in which joints are grouped, stable ones first.
        nms_kernel: odd, in cells; a joint is the maximum of this neighbourhood.
        keypoint_threshold: heatmap value above which a peak is a joint.
        tag_threshold: distance of tags below which a joint may join a person.
        candidates: at most this many peaks of a joint.
        center_shift: added to the joints found, in cells.
        max_people: the first ones formed are kept; None for all.
    """

    scale: tuple[float, float]
    keypoint_order: tuple[int, ...]
    nms_kernel: int = 5
    keypoint_threshold: float = 0.1
    tag_threshold: float = 1.0
    candidates: int = 30
    center_shift: float = 0.0
    max_people: int | None = None

    def decode(self, heatmaps: Tensor, tags: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The people of one image.

        Args:
            heatmaps: (K, H, W) float32.
            tags: (L * K, H, W) float32; the first K channels are the first component of each joint's tag.

        Returns:
            keypoints: (N, K, 2) float32, input pixels. Joints that no peak stands for lie where heatmap and
                tag together fit the person best.
            keypoint_scores: (N, K) float32, heatmap values.
            scores: (N,) float32, mean over the K joints, those without a peak counting 0.
        """
        k = len(heatmaps)
        tags = tags.view(-1, k, *tags.shape[-2:]).transpose(0, 1)  # (K, L, H, W)
        people = self._group(heatmaps, tags)
        found, cell = people[..., 2], people[..., :2].astype(np.int64)
        instance_scores = found.mean(axis=1)
        if not len(people):
            return people[..., :2], found, instance_scores
        keypoints = people[..., :2] + _quarter_offsets(heatmaps, cell)
        keypoints += self.center_shift * (found > 0).astype(np.float32)[..., None]
        keypoints, keypoint_scores = _fill_missing(keypoints, found, heatmaps, tags)
        return keypoints * np.asarray(self.scale, np.float32), keypoint_scores, instance_scores

    def _group(self, heatmaps: Tensor, tags: Tensor) -> np.ndarray:
        """Peaks of all joints, grouped into people: (N, K, 3) float32, x, y in cells and value; 0: none."""
        k, _, width = heatmaps.shape
        values, at = _suppress(heatmaps, self.nms_kernel).flatten(1).topk(self.candidates, dim=1)
        peak_tags = tags.flatten(2).gather(2, at[:, None].expand(-1, tags.shape[1], -1)).transpose(1, 2)
        values, at, peak_tags = values.cpu().numpy(), at.cpu().numpy(), peak_tags.cpu().numpy()

        joints: dict[float, np.ndarray] = {}  # by the first tag of the person's first joint
        members: dict[float, list[np.ndarray]] = {}
        for joint in self.keypoint_order:
            good = values[joint] > self.keypoint_threshold
            # float64, as MMPose has it after joining columns of both kinds.
            value, index = values[joint][good].astype(np.float64), at[joint][good]
            peaks = np.stack([index % width, index // width, value], axis=1)
            tag = peak_tags[joint][good]
            partners = _assign(tag, value, members, self.tag_threshold) if joints else {}
            for row, peak in enumerate(peaks):
                key = partners.get(row)
                if key is None:
                    key = float(tag[row, 0])
                    members[key] = [tag[row]]
                else:
                    members[key].append(tag[row])
                joints.setdefault(key, np.zeros((k, 3), np.float32))[joint] = peak
        people = list(joints.values())[: self.max_people]
        return np.stack(people) if people else np.zeros((0, k, 3), np.float32)


def _assign(
    tags: np.ndarray, values: np.ndarray, members: dict[float, list[np.ndarray]], threshold: float
) -> dict[int, float]:
    """Which peak joins which person: row of `tags` (M, L) -> key of `members`, for those near enough."""
    if not len(tags):
        return {}
    from munkres import Munkres

    keys = list(members)
    means = np.array([np.mean(members[key], axis=0) for key in keys])
    distances = np.linalg.norm(tags.astype(np.float64)[:, None] - means[None], ord=2, axis=2)
    # Distances in whole numbers tie often, and which of equal assignments is found depends on the solver.
    costs = np.round(distances) * 100 - values[:, None]
    surplus = len(tags) - len(keys)
    if surplus > 0:
        costs = np.concatenate([costs, np.full((len(tags), surplus), 1e10, np.float32)], axis=1)
    pairs = Munkres().compute(costs)
    return {
        row: keys[column]
        for row, column in pairs
        if column < len(keys) and distances[row, column] < threshold
    }


def _suppress(maps: Tensor, kernel: int) -> Tensor:
    """Maps (K, H, W) with everything 0 that is not the maximum of its neighbourhood."""
    highest = functional.max_pool2d(maps[None], kernel, stride=1, padding=(kernel - 1) // 2)[0]
    return maps * (maps == highest)


def _quarter_offsets(heatmaps: Tensor, cell: np.ndarray) -> np.ndarray:
    """A quarter of a cell towards the higher neighbour in x and y, at cells (N, K, 2): (N, K, 2) float32."""
    _, h, w = heatmaps.shape
    at = torch.from_numpy(cell).to(heatmaps.device).transpose(0, 1)  # (K, N, 2)
    x, y = at.unbind(-1)
    dx = cells(heatmaps, x + 1, y) - cells(heatmaps, x - 1, y)
    dy = cells(heatmaps, x, y + 1) - cells(heatmaps, x, y - 1)
    dx = torch.where((x > 1) & (x < w - 1) & (y > 0), dx, 0.0)
    dy = torch.where((y > 1) & (y < h - 1) & (x > 0), dy, 0.0)
    return (torch.sign(torch.stack([dx, dy], dim=-1)) * 0.25).transpose(0, 1).cpu().numpy()


def _fill_missing(
    keypoints: np.ndarray, scores: np.ndarray, heatmaps: Tensor, tags: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Give each joint without a peak the cell that is high in its heatmap and close to the person's tag.

    Args:
        keypoints: (N, K, 2) cells, scores: (N, K), 0 for joints without a peak.
        heatmaps: (K, H, W), tags: (K, L, H, W).
    """
    keypoints, scores = keypoints.copy(), scores.copy()
    found = scores > 0
    k, _, h, w = tags.shape
    column = np.clip(keypoints[..., 0].astype(np.int64), 0, w - 1)
    row = np.clip(keypoints[..., 1].astype(np.int64), 0, h - 1)
    at = torch.from_numpy(row * w + column).to(tags.device)  # (N, K)
    own = tags.flatten(2).permute(0, 2, 1)[torch.arange(k, device=tags.device), at].cpu().numpy()
    means = np.stack([np.mean(own[n][found[n]], axis=0) for n in range(len(own))])  # (N, L)
    for joint in range(k):
        missing = np.flatnonzero(~found[:, joint])
        for person in missing:
            mean = torch.from_numpy(means[person]).to(tags.device)[:, None, None]
            distance = (tags[joint] - mean).square().sum(dim=0).sqrt()
            cost = (distance.round().mul_(100) - heatmaps[joint]).flatten()
            # The first of equal cells, which argmin does not promise on every device.
            best = int(torch.nonzero(cost == cost.min())[0])
            keypoints[person, joint] = best % w, best // w
            scores[person, joint] = float(heatmaps[joint].flatten()[best])
    return keypoints, scores
