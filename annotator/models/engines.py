"""What carries out a network on a batch of crops: one small interface, and torch behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from annotator.errors import UserError

if TYPE_CHECKING:
    from annotator.pose.decoding import Outputs

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Engine(Protocol):
    """A pose network with its normalisation, on some device.

    Attributes:
        device: where outputs lie, for torch.
        precision: "fp32", "bf16" or "fp16": what is really used.
    """

    device: torch.device
    precision: str

    def __call__(self, crops: Tensor, mirror: bool = False) -> Outputs:
        """What the head's `forward` returns for a batch.

        Args:
            crops: (N, H, W, 3) uint8 RGB, on any device.
            mirror: append the crops mirrored left to right: outputs are for 2N crops then.
        """
        ...


@dataclass(frozen=True)
class Normalization:
    """How a network wants its pixels.

    Attributes:
        mean, std: of its three channels, in its own order, in grey levels.
        rgb: whether that order is red, green, blue; else blue, green, red.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    rgb: bool

    @classmethod
    def from_config(cls, preprocessor: Mapping[str, Any] | None) -> Normalization:
        """From a config's `data_preprocessor`. MMPose reads pictures as BGR and may swap them there."""
        config = preprocessor or {}
        return cls(
            mean=tuple(float(value) for value in config.get("mean") or (0.0, 0.0, 0.0)),
            std=tuple(float(value) for value in config.get("std") or (1.0, 1.0, 1.0)),
            rgb=bool(config.get("bgr_to_rgb") or config.get("rgb_to_bgr")),
        )


class PoseNetwork(nn.Module):
    """Backbone, neck and head of an MMPose top-down estimator: normalised crops -> the head's raw outputs."""

    def __init__(self, estimator: nn.Module) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, pixels: Tensor) -> Any:
        """pixels: (N, 3, H, W), normalised, in the network's channel order."""
        features = self.estimator.extract_feat(pixels)  # type: ignore[operator]
        return self.estimator.head(features)  # type: ignore[operator]


class TorchEngine:
    """PyTorch, on any of its devices.

    Args:
        network: takes (N, 3, H, W) normalised crops.
        normalization: how it wants its pixels.
        device: "cpu", "cuda", "cuda:1", ...
        precision: "fp32", "bf16" or "fp16"; "auto" is fp32. Parameters and activations are both of it.

    Raises:
        UserError: the precision is unknown, or the device cannot carry it out.
    """

    def __init__(
        self, network: nn.Module, normalization: Normalization, device: str = "cpu", precision: str = "auto"
    ) -> None:
        self.precision = "fp32" if precision == "auto" else precision
        if self.precision not in PRECISIONS:
            raise UserError(f"precision {precision!r}: expected auto, {', '.join(PRECISIONS)}")
        self.device = torch.device(device)
        self._dtype = PRECISIONS[self.precision]
        if self._dtype == torch.float16 and self.device.type == "cpu":
            raise UserError("fp16 needs a GPU; on a CPU take fp32 or bf16")
        # Convolutions run faster on this layout, on CPUs and GPUs alike; transformers do not mind.
        self._network = network.to(self.device, self._dtype, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        order = (0, 1, 2) if normalization.rgb else (2, 1, 0)
        self._order = None if normalization.rgb else torch.tensor(order, device=self.device)
        self._mean = torch.tensor(normalization.mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(normalization.std, device=self.device).view(1, 3, 1, 1)

    @torch.inference_mode()
    def __call__(self, crops: Tensor, mirror: bool = False) -> Outputs:
        """See `Engine`."""
        pixels = crops.to(self.device, non_blocking=True)
        if mirror:
            pixels = torch.cat([pixels, pixels.flip(2)])
        pixels = pixels.permute(0, 3, 1, 2)
        if self._order is not None:
            pixels = pixels[:, self._order]
        normalised = pixels.float().sub_(self._mean).div_(self._std)
        return self._network(normalised.to(self._dtype, memory_format=torch.channels_last))


def split(outputs: Outputs, count: int) -> tuple[Any, Any]:
    """The outputs of a mirrored batch: those of its first `count` crops, and of their mirror images."""
    if isinstance(outputs, list | tuple):
        halves = [split(part, count) for part in outputs]
        return tuple(half[0] for half in halves), tuple(half[1] for half in halves)
    return outputs[:count], outputs[count:]  # type: ignore[index]
