"""Batches of people for a pose network, made whole on the device that trains.

The same as MMPose's GetBBoxCenterScale, RandomFlip, RandomBBoxTransform, TopdownAffine (UDP) and
GenerateTarget (UDPHeatmap), of all people of a batch at once and on any device.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from cameras import Perturb
from jumble import jumble
from make_arrays import PERSON_SIZE
from mmengine.device import get_device
from mmengine.registry import LOOPS
from mmengine.runner import IterBasedTrainLoop
from mmpose.models import TopdownPoseEstimator
from mmpose.registry import MODELS
from people import Crops, Residents
from tensors import constant, normalized
from torch import Tensor, nn
from torch.nn import functional

LOOK = 20  # seconds between looks for parts that are new
FLIPPED = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
# Classes of `make_arrays.py`: left and right of arms and legs change places in a mirror.
MIRRORED_PARTS = (0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 15, 16, 17)


class Regions(NamedTuple):
    """What is cut out around each of N people: from pixels of their crop to those of the network's input.

    Attributes:
        matrix: (N, 2, 2) turn, scale and mirror. offset: (N, 2). So that input = matrix @ crop + offset.
        mirrored: (N,) bool.
    """

    matrix: Tensor
    offset: Tensor
    mirrored: Tensor

    def to_input(self, points: Tensor) -> Tensor:
        """Points (N, K, 2) of the crops in pixels of the input."""
        return points @ self.matrix.mT + self.offset[:, None]

    def to_crop(self, points: Tensor) -> Tensor:
        """Points (H, W, 2) in pixels of the input, in those of each crop (N, H, W, 2)."""
        # Turned, mirrored and scaled evenly: the inverse is the transpose over the square of the scale.
        back = self.matrix.mT / self.matrix.square().sum(1, keepdim=True)
        return torch.einsum("nij,nhwj->nhwi", back, points - self.offset[:, None, None])


class TopdownBatches:
    """Batches without end: `inputs` (N, 3, H, W) float32 BGR 0 to 255, and what to learn as `data_samples`.

    These are `heatmaps` (N, 17 + 1, h, w), the last of them classes of body parts, and `weights` (N, 17).

    Args:
        data: a folder of `make_arrays.py`.
        batch: people.
        input_size, heatmap_size: (width, height) in pixels. sigma: of the heatmaps, in their pixels.
        shift: largest shift, as a share of the region's sides.
        scale: smallest and largest factor on the region, drawn log-uniformly.
        turn: largest rotation in degrees, for half of the people.
        nobody: share of a batch that is boxes of nobody. jumbled: share of people made into nobody.
        perturb: amount, of `Perturb`.
        padding: of the box.
    """

    def __init__(
        self,
        data: str,
        batch: int,
        input_size: tuple[int, int],
        heatmap_size: tuple[int, int],
        sigma: float,
        shift: float,
        scale: tuple[float, float],
        turn: float,
        nobody: float,
        jumbled: float,
        perturb: float,
        padding: float = 1.25,
    ) -> None:
        self.device = torch.device(get_device())
        self.dataset = Residents(Path(data), self.device)
        self.batch = batch
        self.input_size = input_size
        self.heatmap_size = heatmap_size
        self.sigma = sigma
        self.shift = shift
        self.scale = scale
        self.turn = math.radians(turn)
        self.nobody = nobody
        self.jumbled = jumbled
        self.perturb = Perturb(perturb)
        self.padding = padding

    def __len__(self) -> int:
        """Batches after which each person was seen once, about."""
        return -(-len(self.dataset) // self.batch)

    def __iter__(self) -> Iterator[dict]:
        looked = -math.inf
        while True:
            if time.monotonic() - looked > LOOK:
                self.dataset.look()
                looked = time.monotonic()
            yield self.made()

    @torch.no_grad()
    def made(self) -> dict:
        """One batch: people, then nobody."""
        nobody = round(self.nobody * self.batch) if len(self.dataset.empty) else 0
        crops = self.dataset.draw(self.batch - nobody, nobody)
        regions = self.regions(crops.boxes)
        inputs, parts = self.cut(crops, regions)
        joints, known = self.joints(crops, regions)
        # People are in no order: the first of them are jumbled.
        jumbled = round(self.jumbled * self.batch)
        inputs[:jumbled] = jumble(inputs[:jumbled])
        gone = crops.nobody.clone()
        gone[:jumbled] = True
        heatmaps, weights = self.targets(joints, known)
        target = torch.cat([heatmaps, parts[:, None].to(heatmaps)], dim=1)
        target.masked_fill_(gone[:, None, None, None], 0)
        weights.masked_fill_(gone[:, None], 1)
        return {"inputs": self.perturb(inputs), "data_samples": {"heatmaps": target, "weights": weights}}

    def regions(self, boxes: Tensor) -> Regions:
        """Regions around boxes (N, 4), each shifted, scaled, turned and mirrored at random."""
        width, height = self.input_size
        aspect = width / height
        count, device = len(boxes), boxes.device
        low, high = map(math.log, self.scale)
        sides = boxes[:, 2:] - boxes[:, :2]
        wide = torch.maximum(sides[:, 0], sides[:, 1] * aspect) * self.padding
        shift = (2 * torch.rand(count, 2, device=device) - 1) * self.shift
        center = (boxes[:, :2] + boxes[:, 2:]) / 2 + shift * torch.stack([wide, wide / aspect], dim=1)
        wide = wide * torch.exp(low + torch.rand(count, device=device) * (high - low))
        angle = (2 * torch.rand(count, device=device) - 1) * self.turn
        angle = torch.where(torch.rand(count, device=device) < 0.5, angle, 0.0)
        mirrored = torch.rand(count, device=device) < 0.5
        zoom = (width - 1) / wide
        across = torch.where(mirrored, -zoom, zoom)
        cos, sin = angle.cos(), angle.sin()
        matrix = torch.stack([across * cos, -across * sin, zoom * sin, zoom * cos], dim=1).view(-1, 2, 2)
        middle = constant(((width - 1) / 2, (height - 1) / 2), device)
        return Regions(matrix, middle - (matrix @ center[:, :, None])[:, :, 0], mirrored)

    def cut(self, crops: Crops, regions: Regions) -> tuple[Tensor, Tensor]:
        """Pixels (N, 3, H, W) float32 of the regions, and classes (N, h, w) int64 at the heatmaps' places."""
        at = regions.to_crop(grid(self.input_size, self.input_size, self.device))
        pixels = crops.pixels.permute(0, 3, 1, 2).float()
        inputs = functional.grid_sample(pixels, normalized(at, PERSON_SIZE), align_corners=True)
        # UDP aligns the first and last pixels of input and heatmap.
        at = regions.to_crop(grid(self.heatmap_size, self.input_size, self.device))
        rows, columns = crops.parts.shape[1:]
        shrink = columns / crops.pixels.shape[2]
        at = ((at + 0.5) * shrink - 0.5).round().long()
        x, y = at[..., 0].clamp(0, columns - 1), at[..., 1].clamp(0, rows - 1)
        inside = (at[..., 0] == x) & (at[..., 1] == y)
        parts = crops.parts.flatten(1).gather(1, (y * columns + x).flatten(1)).view(x.shape) * inside
        mirror = constant(MIRRORED_PARTS, self.device)
        parts = parts.long()
        return inputs, torch.where(regions.mirrored[:, None, None], mirror[parts], parts)

    def joints(self, crops: Crops, regions: Regions) -> tuple[Tensor, Tensor]:
        """Joints (N, 17, 2) in pixels of the input, and which are known (N, 17): left is left in a mirror."""
        joints, swap = regions.to_input(crops.joints), regions.mirrored[:, None]
        flipped = constant(FLIPPED, self.device)
        known = torch.where(swap, crops.known[:, flipped], crops.known)
        return torch.where(swap[..., None], joints[:, flipped], joints), known

    def targets(self, joints: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Heatmaps (N, 17, h, w) and weights (N, 17) of UDPHeatmap, but hills are not cut off in a square."""
        size = constant(self.heatmap_size, joints.device)
        centers = joints * ((size - 1) / (constant(self.input_size, joints.device) - 1))
        nearest, reach = (centers + 0.5).floor(), 3 * self.sigma
        outside = ((nearest - reach >= size) | (nearest + reach < 0)).any(-1)
        weights = torch.where(outside, 0, known)
        columns, rows = (
            torch.exp(
                -((torch.arange(side, device=joints.device) - centers[..., i, None]) ** 2)
                / (2 * self.sigma**2)
            )
            for i, side in enumerate(self.heatmap_size)
        )
        heatmaps = rows[..., :, None] * columns[..., None, :]
        # As UDPHeatmap cuts them off; and denormal numbers are slow.
        heatmaps = torch.where((heatmaps < 1e-4) | (weights < 0.5)[..., None, None], 0, heatmaps)
        return heatmaps, weights


def grid(size: tuple[int, int], of: tuple[int, int], device: torch.device) -> Tensor:
    """Places (H, W, 2), x and y, of `size` pixels that lie evenly from the first to the last of `of`."""
    x, y = (torch.linspace(0, last - 1, count, device=device) for count, last in zip(size, of, strict=True))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


@MODELS.register_module()
class BatchTopdown(TopdownPoseEstimator):
    """MMPose's top-down estimator, for batches that come whole instead of as samples.

    On a GPU, backbone and head are one CUDA graph forward and one backward: for so small a network the
    launches of their kernels would take longer than the kernels.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._captured: list[Callable] = []  # in a list: not a module of this one

    def loss(self, inputs: Tensor, data_samples: dict[str, Tensor]) -> dict[str, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        if inputs.is_cuda and not self._captured:
            network = nn.Sequential(self.backbone, self.head)
            self._captured = [torch.cuda.make_graphed_callables(network, (torch.rand_like(inputs),))]
        output = self._captured[0](inputs) if self._captured else self.head(self.backbone(inputs))
        return {"loss": self.head.loss_module(output, data_samples["heatmaps"], data_samples["weights"])}


@LOOPS.register_module()
class BatchLoop(IterBasedTrainLoop):
    """MMEngine's loop over a data set that makes whole batches itself."""

    def __init__(self, runner: Any, dataloader: dict, **settings: Any) -> None:
        batches: Any = TopdownBatches(**dataloader)
        super().__init__(runner, batches, fast_forward_on_resume=True, **settings)
