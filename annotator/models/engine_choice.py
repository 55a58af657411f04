"""Which engine and precision carry out a network: as asked, or what is known to be best for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from annotator.models.engines import Engine, Normalization


def make_engine(
    engine: str,
    network: nn.Module,
    normalization: Normalization,
    size: tuple[int, int],
    name: str,
    *,
    device: str = "cpu",
    precision: str = "auto",
) -> Engine:
    """The engine of that name for a pose network.

    Args:
        engine: "torch", "compile" (torch, compiled), "onnx" or "tensorrt".
        network: takes (N, 3, H, W) normalised crops.
        normalization: how it wants its pixels.
        size: (width, height) of its input.
        name: of the model, for messages.
        device: torch device.
        precision: "fp32" ("auto"), "bf16" or "fp16".

    Raises:
        UserError: no such engine, or it is not to be had in this precision on this device.
    """
    if engine in ("torch", "compile"):
        from annotator.models.engines import TorchEngine

        return TorchEngine(network, normalization, device, precision, compiled=engine == "compile")
    if engine in ("onnx", "tensorrt"):
        from annotator.models.onnx_engine import OnnxEngine

        return OnnxEngine(network, normalization, size, name, device, precision, engine)
    raise UserError(f"engine {engine!r}: expected torch, compile, onnx or tensorrt")
