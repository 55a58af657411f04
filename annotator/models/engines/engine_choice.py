"""Which engine and precision carry out a network: as asked, or what is known to be best for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.errors import UserError
from annotator.models.engines.onnx_export import ExportError

if TYPE_CHECKING:
    from torch import nn

    from annotator.models.engines.engine import Engine, Normalization
    from annotator.models.sources import ModelSource

# docs/performance.md has the measurements behind these rules.
_TRANSFORMERS = ("VisionTransformer", "SwinTransformer", "HRFormer", "PyramidVisionTransformer", "PoolFormer")


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine and a precision for one network, and why these."""

    engine: str
    precision: str
    reason: str

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}" + (f" ({self.reason})" if self.reason else "")


def choose_pose(source: ModelSource, device: str, engine: str = "auto", precision: str = "auto") -> Choice:
    """The engine and precision of a pose model.

    Known, not timed: a choice must come out alike on every machine of a run, and when it is resumed. With
    ONNX the network is exported here, so that a run learns at its start whether that can be done.

    Args:
        device: "cpu" or "cuda...".
        engine, precision: "auto" or what was asked for, which is then taken as it is.
    """
    from annotator.models.sources import needs_boxes

    if not needs_boxes(source):
        return _whole_image(source, engine, precision)
    given = precision != "auto"
    precision = precision if given else "fp32"
    if engine != "auto":
        return Choice(engine, precision, "")
    if device.startswith("cuda"):
        faster = (
            "on a GPU" if given else "exact; --precision fp16 is several times faster on a GPU, and not exact"
        )
        return Choice("torch", precision, faster)
    if precision != "fp32":
        return Choice("torch", precision, "the one with this precision on a CPU")
    backbone = _backbone(source)
    if backbone in _TRANSFORMERS:
        return Choice("torch", precision, f"no slower than others for {backbone}")
    try:
        _export_pose(source)
    except ExportError as error:
        return Choice("torch", precision, str(error).partition(";")[0])
    return Choice("onnx", precision, "fastest for convolutions on a CPU")


def choose_detector(
    source: ModelSource, device: str, engine: str = "auto", precision: str = "auto"
) -> Choice:
    """The engine and precision of a detector; as `choose_pose`. Its precision is always fp32 unless asked."""
    if precision == "auto":
        precision = "fp32"
    if engine != "auto":
        return Choice(engine, precision, "")
    if device.startswith("cuda") or precision != "fp32":
        return Choice("torch", precision, "")
    from annotator.models.engines.detector_engines import export_detector, exportable
    from annotator.models.openmmlab.build import build

    network = build(source).network
    if not exportable(network):
        return Choice("torch", precision, "not a one-stage detector")
    try:
        export_detector(network, source.name)
    except ExportError as error:
        return Choice("torch", precision, str(error).partition(";")[0])
    return Choice("onnx", precision, "fastest for convolutions on a CPU")


def _whole_image(source: ModelSource, engine: str, precision: str) -> Choice:
    if engine not in ("auto", "torch"):
        raise UserError(f"--engine {engine}: {source.name} looks at whole images, which torch carries out")
    return Choice("torch", "fp32" if precision == "auto" else precision, "the one for whole images")


def _backbone(source: ModelSource) -> str:
    from annotator.models.openmmlab.configs import load_model_config, type_name

    return type_name(load_model_config(source.config_path, source.kind).model["backbone"])


def _export_pose(source: ModelSource) -> None:
    from annotator.models.engines.engine import PoseNetwork
    from annotator.models.engines.onnx_export import exported
    from annotator.models.openmmlab.build import build
    from annotator.models.openmmlab.configs import input_size

    built = build(source)
    size = input_size(built.config)
    if size is None:
        raise ExportError(f"{source.name}: its config does not fix the size of its input")
    exported(PoseNetwork(built.network), source.name, size)


def make_engine(
    engine: str,
    network: nn.Module,
    normalization: Normalization,
    size: tuple[int, int],
    name: str,
    *,
    device: str = "cpu",
    precision: str = "auto",
    batch: int = 64,
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
        batch: crops in one batch, mirror images included: what "compile" is made for.

    Raises:
        UserError: no such engine, or it is not to be had in this precision on this device.
    """
    if engine in ("torch", "compile"):
        from annotator.models.engines.engine import TorchEngine

        compiled = batch if engine == "compile" else None
        return TorchEngine(network, normalization, size, device, precision, compiled)
    if engine in ("onnx", "tensorrt"):
        from annotator.models.engines.onnx_engine import OnnxEngine

        return OnnxEngine(network, normalization, size, name, device, precision, engine)
    raise UserError(f"engine {engine!r}: expected torch, compile, onnx or tensorrt")
