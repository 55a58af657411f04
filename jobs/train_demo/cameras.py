"""What cameras, compression and things in the way do to pictures: from drawn people towards photos."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from tensors import constant, uniform
from torch import Tensor
from torch.nn import functional


class Perturb:
    """Light, colour, blur, noise, JPEG and patches, each for its own share of a batch.

    Images (N, 3, H, W) float32 BGR 0 to 255; boxes and joints stay where they are. Works on the small picture
    that the network sees.

    Args:
        amount: factor on all shares. The pictures are noisy, dim and blurred themselves: in a short training
            more than a little only slows the learning down.
        patches: share with patches of noise or of one colour (Cutout, Random Erasing).
        largest: longest side of a patch, as a share of the picture's.
    """

    def __init__(self, amount: float = 1.0, patches: float = 0.5, largest: float = 0.4) -> None:
        self.shares = {
            relight: 0.8, less_colour: 0.19, swap_channels: 0.06, defocus: 0.16, shake: 0.08,
            enlarge: 0.16, add_noise: 0.3, compress: 0.15,
        }  # fmt: skip
        self.amount = amount
        self.patches = patches
        self.largest = largest

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """New images of the same shape, in whole numbers."""
        images = images.clone()
        with torch.autocast(images.device.type, enabled=False):
            for change, share in self.shares.items():
                self._change(images, share, change)
            self._change(images, self.patches, partial(cover, largest=self.largest))
        return images.round_()

    def _change(self, images: Tensor, share: float, change: Callable[[Tensor], Tensor]) -> None:
        # A fixed number, not a draw for each: no device has to be asked how many there are.
        wanted = share * self.amount * len(images)
        count = min(int(wanted + float(torch.rand(()))), len(images))
        if count:
            some = torch.randperm(len(images), device=images.device)[:count]
            images[some] = change(images[some]).clamp_(0, 255)


def relight(images: Tensor) -> Tensor:
    """Exposure, contrast, gamma, and a tint of each channel."""
    gamma = torch.exp(normal(images, 1, 0.25))
    gain = torch.exp(normal(images, 1, 0.2) + normal(images, 3, 0.08))
    offset = normal(images, 1, 0.05) + normal(images, 3, 0.02)
    return ((images / 255) ** gamma * gain + offset) * 255


def less_colour(images: Tensor) -> Tensor:
    """Less or more colour, at times grey."""
    grey = (images * constant(LUMA_OF_BGR, images.device)[:, None, None]).sum(1, keepdim=True)
    amount = spread(images, 1, 0.2, 1.7) * (spread(images, 1, 0, 1) > 0.27)
    return images * amount + grey * (1 - amount)


def swap_channels(images: Tensor) -> Tensor:
    order = torch.rand(len(images), 3, device=images.device).argsort(1)
    return images[torch.arange(len(images), device=images.device)[:, None], order]


def defocus(images: Tensor) -> Tensor:
    return smoothed(images, spread(images, 1, 0.4, 1.6).flatten(), radius=5)


def shake(images: Tensor) -> Tensor:
    """Moved by five pixels during the exposure, across or down."""
    across = torch.ones(3, 1, 1, 5, device=images.device) / 5
    across, down = (
        functional.conv2d(functional.pad(images, pad, mode="reflect"), kernel, groups=3)
        for kernel, pad in ((across, (2, 2, 0, 0)), (across.mT, (0, 0, 2, 2)))
    )
    return torch.where(spread(images, 1, 0, 1) < 0.5, across, down)


def enlarge(images: Tensor) -> Tensor:
    """Enlarged from fewer pixels; as many for all of the batch."""
    height, width = images.shape[2:]
    share = 0.3 + 0.5 * float(torch.rand(()))
    small = functional.interpolate(
        images, (max(8, int(height * share)), max(8, int(width * share))), mode="area"
    )
    return functional.interpolate(small, (height, width), mode="bilinear")


def add_noise(images: Tensor) -> Tensor:
    """Of each pixel, or of each channel of one."""
    coloured = torch.randn_like(images)
    noise = torch.where(spread(images, 1, 0, 1) < 0.5, coloured[:, :1], coloured)
    return images + noise * spread(images, 1, 2, 18)


def compress(images: Tensor) -> Tensor:
    """What JPEG's quantization does to luma and chroma (ITU-T T.81, K.1), chroma in full resolution."""
    height, width = images.shape[2:]
    device = images.device
    to_ycc, to_bgr = constant(YCC_OF_BGR, device).view(3, 3), constant(BGR_OF_YCC, device).view(3, 3)
    quality = spread(images, 1, 15, 60)[..., None]  # (N, 1, 1, 1, 1)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    tables = constant(LUMA + CHROMA + CHROMA, device).view(1, 3, 1, 8, 8)
    steps = (tables * scale).clamp(1, 255)
    k = torch.arange(8, device=images.device)
    dct = torch.cos((2 * k[None] + 1) * k[:, None] * (torch.pi / 16)) / 2
    dct[0] /= 2**0.5
    padded = functional.pad(images, (0, -width % 8, 0, -height % 8), mode="replicate")
    ycc = torch.einsum("ij,njhw->nihw", to_ycc, padded - 128)
    rows, columns = padded.shape[2] // 8, padded.shape[3] // 8
    blocks = ycc.unflatten(2, (rows, 8)).unflatten(4, (columns, 8)).transpose(3, 4).flatten(2, 3)
    rounded = (dct @ blocks @ dct.T / steps).round() * steps
    blocks = (dct.T @ rounded @ dct).unflatten(2, (rows, columns)).transpose(3, 4)
    back = torch.einsum("ij,njhw->nihw", to_bgr, blocks.flatten(4).flatten(2, 3)) + 128
    return back[:, :, :height, :width]


def cover(images: Tensor, largest: float) -> Tensor:
    """One to three patches of one colour, of noise, or of another part of the picture."""
    count, _, height, width = images.shape
    y = torch.arange(height, device=images.device)[:, None]
    x = torch.arange(width, device=images.device)
    for nth in range(3):
        there = torch.rand(count, 1, 1, 1, device=images.device) < (3 - nth) / 3
        h, w = (spread(images, 1, 0.08, largest) * side for side in (height, width))
        top, left = spread(images, 1, 0, 1) * (height - h), spread(images, 1, 0, 1) * (width - w)
        inside = (y >= top) & (y < top + h) & (x >= left) & (x < left + w) & there
        kind = spread(images, 1, 0, 1)
        down, right = (torch.randint(side, (count, 1, 1), device=images.device) for side in (height, width))
        elsewhere = ((y + down) % height * width + (x + right) % width).flatten(1)[:, None].expand(-1, 3, -1)
        moved = images.flatten(2).gather(2, elsewhere).view_as(images)
        fill = torch.where(kind < 0.6, torch.rand_like(images) * 255, moved)
        fill = torch.where(kind < 0.4, spread(images, 3, 0, 255), fill)
        images = torch.where(inside, fill, images)
    return images


def smoothed(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Images (N, 3, H, W) under a Gaussian of each one's own sigma (N,), in pixels, of so many at most."""
    at = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.exp(-(at**2) / (2 * sigma[:, None] ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)[:, None, None]  # (3N, 1, 1, taps)
    flat = images.reshape(1, -1, *images.shape[2:])
    for taps, pad in ((kernel, (radius, radius, 0, 0)), (kernel.mT, (0, 0, radius, radius))):
        flat = functional.conv2d(functional.pad(flat, pad, mode="reflect"), taps, groups=len(kernel))
    return flat.view_as(images)


def normal(images: Tensor, channels: int, deviation: float) -> Tensor:
    """(N, channels, 1, 1), one draw for each image or each of its channels."""
    return torch.randn(len(images), channels, 1, 1, device=images.device) * deviation


def spread(images: Tensor, channels: int, low: float, high: float) -> Tensor:
    """(N, channels, 1, 1), evenly from low to high."""
    return uniform((len(images), channels, 1, 1), low, high, images.device)


LUMA_OF_BGR = (0.114, 0.587, 0.299)
YCC_OF_BGR = (*LUMA_OF_BGR, 0.5, -0.331264, -0.168736, -0.081312, -0.418688, 0.5)
BGR_OF_YCC = (1.0, 1.772, 0.0, 1.0, -0.344136, -0.714136, 1.0, 0.0, 1.402)
LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, *[99] * 32,
)  # fmt: skip
