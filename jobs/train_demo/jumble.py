"""People made into nobody: skin and clothes are left, as tiles that changed places or as blobs."""

from __future__ import annotations

import math

import torch
from cameras import smoothed
from tensors import constant, normalized, uniform
from torch import Tensor
from torch.nn import functional


def jumble(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) without people's shapes: most as blobs, the others as tiles."""
    blobs_of = round(0.6 * len(images))
    return torch.cat([blobs(images[:blobs_of]), tiles(images[blobs_of:])]) if len(images) else images


def tiles(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) cut into tiles that change places; a head or a hand lies in several."""
    count, _, height, width = images.shape
    rows, columns = int(torch.randint(7, 14, ())), int(torch.randint(5, 11, ()))
    h, w = height // rows, width // columns
    cut = images[:, :, : rows * h, : columns * w].unflatten(2, (rows, h)).unflatten(4, (columns, w))
    cut = cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    order = torch.rand(count, rows * columns, device=images.device).argsort(1)
    cut = cut[torch.arange(count, device=images.device)[:, None], order].unflatten(1, (rows, columns))
    moved = images.clone()
    moved[:, :, : rows * h, : columns * w] = cut.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
    return moved


def blobs(images: Tensor) -> Tensor:
    """Round and square things of the images' (N, 3, H, W) own surfaces, before their colours, blurred."""
    count, _, height, width = images.shape
    if not count:
        return images
    device = images.device
    out = smoothed(tiles(images), uniform((count,), 2, 12, device), radius=18)
    size = constant((width, height), device)
    x = torch.stack(
        torch.meshgrid(
            torch.arange(width, device=device), torch.arange(height, device=device), indexing="xy"
        ),
        -1,
    ).float()
    for _ in range(int(torch.randint(3, 9, ()))):
        # Surfaces are turned and enlarged: what they show is a part of a limb or a face, not all of it.
        around = torch.rand(count, 1, 1, 2, device=device) * size
        at = (
            turned(x - around, uniform((count,), 0, 2 * math.pi, device))
            / uniform((count,), 2.5, 5, device)[:, None, None, None]
        )
        surface = functional.grid_sample(
            images, normalized(at + around, (width, height)), padding_mode="reflection", align_corners=True
        )
        center = uniform((count, 1, 1, 2), 0.1, 0.9, device) * size
        half = torch.exp(uniform((count, 1, 1, 2), math.log(0.15), math.log(0.8), device)) * width / 2
        offset = turned(x - center, uniform((count,), 0, math.pi, device)) / half
        round_ = torch.rand(count, 1, 1, device=device) < 0.7
        reach = torch.where(round_, offset.norm(dim=-1), offset.abs().amax(-1))
        soft = uniform((count,), 0.4, 1.2, device)[:, None, None] / half.amin(-1)
        share = torch.sigmoid((1 - reach) / soft * 1.7)[:, None]
        shade = uniform((count,), 0.6, 1.3, device)[:, None, None, None]
        out = out * (1 - share) + (surface * shade).clamp(0, 255) * share
    return out


def turned(offsets: Tensor, angle: Tensor) -> Tensor:
    """Offsets (..., H, W, 2), turned by angles (N,)."""
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    x, y = offsets[..., 0], offsets[..., 1]
    return torch.stack([x * cos - y * sin, x * sin + y * cos], dim=-1)
