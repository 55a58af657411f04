"""What carries out a network on a batch of crops: one small interface, and torch behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from annotator.errors import UserError
from annotator.models.engines.folding import fold_norms
from annotator.models.engines.outputs import split
from annotator.models.engines.precision import lower_precision
from annotator.models.engines.sharing import Sharing

if TYPE_CHECKING:
    from annotator.pose.decoding import Outputs

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Engine(Protocol):
    """A pose network with its normalisation, on some device.

    Attributes:
        name: "torch", "onnx" or "tensorrt".
        device: where outputs lie, for torch.
        precision: "fp32", "bf16" or "fp16": what is really used.
        padded: whether any batch takes as long as the largest.
    """

    name: str
    device: torch.device
    precision: str
    padded: bool

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
        network: takes (N, 3, H, W) normalised crops; is changed (`fold_norms`, dtype).
        normalization: how it wants its pixels.
        size: (width, height) of its input.
        device: "cpu", "cuda", "cuda:1", ...
        precision: "fp32", "bf16" or "fp16"; "auto" is fp32. Parameters and activations are of it, but for the
            layers that give the outputs, which stay float32.
        compiled: let `torch.compile` fuse the network, for batches of so many crops, mirror images included:
            takes a minute at the first one. Smaller ones are padded, as each size would be compiled anew, and
            torch stops at eight; where there is no memory for so many, half as many. None: eager.

    Raises:
        UserError: the precision is unknown, or the device cannot carry it out.
    """

    name = "torch"

    def __init__(
        self,
        network: nn.Module,
        normalization: Normalization,
        size: tuple[int, int],
        device: str = "cpu",
        precision: str = "auto",
        compiled: int | None = None,
    ) -> None:
        self.precision = "fp32" if precision == "auto" else precision
        self.device = torch.device(device)
        check_precision(self.precision, self.device)
        self._dtype = PRECISIONS[self.precision]
        network = network.eval()
        given = torch.randn(1, 3, size[1], size[0])
        fold_norms(network, given)
        lower_precision(network, self._dtype, given)
        # Convolutions run faster on this layout, on CPUs and GPUs alike; transformers do not mind.
        network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.padded = compiled is not None
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        self._network: Any = (
            Compiled(network, self.device, compiled) if compiled else Sharing(network, threads)
        )
        self._normalise = normaliser(normalization, self.device)

    @property
    def parts(self) -> int | None:
        """Into how many a batch is divided on the CPU's threads; None: not known yet, or compiled."""
        return getattr(self._network, "parts", None)

    @torch.inference_mode()
    def __call__(self, crops: Tensor, mirror: bool = False) -> Outputs:
        """See `Engine`."""
        pixels = self._normalise(crops, mirror)
        pixels = pixels.to(self._dtype, memory_format=torch.channels_last)
        return self._network(pixels)


class Compiled:
    """A network through `torch.compile`, for batches of one size.

    Args:
        network: takes (N, ...) and returns tensors, nested in lists or tuples as it likes.
        device: where it is.
        batch: pictures in a batch; smaller ones are padded.
    """

    def __init__(self, network: nn.Module, device: torch.device, batch: int) -> None:
        _plain_numbers(network)
        # On a CPU, only weights that are constants go into oneDNN's operations that fuse what follows them.
        options: dict[str, Any] | None = {"freezing": True} if device.type == "cpu" else None
        self._network = torch.compile(network, dynamic=False, options=options)
        self._batch = batch

    def __call__(self, pixels: Tensor) -> Any:
        """The network's outputs for all pictures.

        Raises:
            torch.OutOfMemoryError: there is no memory for so many, even without padding.
        """
        count = len(pixels)
        while count < self._batch:
            padding = pixels.new_zeros(self._batch - count, *pixels.shape[1:])
            try:
                return split(self._network(torch.cat([pixels, padding])), count)[0]
            except torch.OutOfMemoryError:
                self._batch = max(count, self._batch // 2)
            # Only here does nothing hold on to the tensors of the failed attempt any more.
            torch.cuda.empty_cache()
        return self._network(pixels)


def _plain_numbers(network: nn.Module) -> None:
    """Numpy's numbers among the settings of layers (of DropPath in each ViT) as Python's: torch.compile takes
    them for tensors, and fails.
    """
    for module in network.modules():
        for name, value in vars(module).items():
            if isinstance(value, np.generic):
                setattr(module, name, value.item())


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse what torch would not carry out as asked.

    Raises:
        UserError: unknown, or not for this device.
    """
    if precision not in PRECISIONS:
        raise UserError(f"precision {precision!r}: expected auto, {', '.join(PRECISIONS)}")
    if precision == "fp16" and device.type == "cpu":
        raise UserError("fp16 needs a GPU; on a CPU take fp32 or bf16")
    if device.type == "cuda":
        if precision == "bf16" and torch.cuda.get_device_capability(device) < (8, 0):
            raise UserError(
                f"bf16 is emulated on {torch.cuda.get_device_name(device)}: take --precision fp16"
            )
        # torch lets convolutions use TensorFloat-32, which has the mantissa of fp16: not what fp32 promises.
        # Matrix products do so where a container sets TORCH_ALLOW_TF32_CUBLAS_OVERRIDE.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def normaliser(normalization: Normalization, device: torch.device) -> Callable[[Tensor, bool], Tensor]:
    """What makes a network's input of crops: (N, H, W, 3) uint8 RGB on any device -> (N, 3, H, W) float32 on
    `device`; with True also of their mirror images, after them.
    """
    order = None if normalization.rgb else torch.tensor((2, 1, 0), device=device)
    mean = torch.tensor(normalization.mean, device=device).view(1, 3, 1, 1)
    std = torch.tensor(normalization.std, device=device).view(1, 3, 1, 1)

    def normalise(crops: Tensor, mirror: bool) -> Tensor:
        pixels = crops.to(device, non_blocking=True)
        if mirror:
            pixels = torch.cat([pixels, pixels.flip(2)])
        pixels = pixels.permute(0, 3, 1, 2)
        if order is not None:
            pixels = pixels[:, order]
        return pixels.float().sub_(mean).div_(std)

    return normalise
