"""What carries out a detector's network, put in the place of its `extract_feat`; boxes are made in torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from annotator.errors import UserError
from annotator.models.engines.engine import PRECISIONS, check_precision
from annotator.models.engines.onnx_engine import OnnxSession
from annotator.models.engines.onnx_engine import check_precision as check_onnx_precision
from annotator.models.engines.onnx_export import exported
from annotator.models.engines.outputs import nested

# For tracing only; the file takes any size that the strides of the network divide.
_SIZE = (320, 320)


class TorchDetector:
    """Backbone and neck in torch, in a chosen precision.

    Heads stay in float32: box sides need more than the eight bits of bfloat16.

    Args:
        network: an MMDetection detector, on the device.
        device: torch device.
        precision: "fp32" ("auto"), "bf16" or "fp16".

    Attributes:
        finite: whether all that came out of the last batch was. What is not falls below every score
            threshold, and an image full of people would look empty.

    Raises:
        UserError: the precision is unknown, or not for this device.
    """

    name = "torch"

    def __init__(self, network: Any, device: torch.device, precision: str = "auto") -> None:
        self.precision = "fp32" if precision == "auto" else precision
        check_precision(self.precision, device)
        self.device, self._dtype = device, PRECISIONS[self.precision]
        network.to(memory_format=torch.channels_last)
        self._extract = network.extract_feat
        self.finite = True

    def __call__(self, batch: Tensor) -> tuple[Tensor, ...]:
        """Features of (N, 3, H, W) normalised images."""
        batch = batch.to(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
            features = self._extract(batch)
        features = tuple(feature.float() for feature in features)
        self.finite = all(bool(feature.isfinite().all()) for feature in features)
        return features


class OnnxDetector:
    """Backbone, neck and head of a one-stage detector in ONNX Runtime; see `TorchDetector`.

    Args:
        network: an MMDetection detector; its head then takes its own outputs for features.
        name: of the model, for messages.
        device: torch device.
        precision: "fp32" ("auto").
        engine: "onnx" or "tensorrt".

    Raises:
        UserError: not a one-stage detector, or its network cannot be exported or carried out as asked.
    """

    def __init__(
        self, network: Any, name: str, device: torch.device, precision: str = "auto", engine: str = "onnx"
    ) -> None:
        self.name, self.device = engine, device
        self.precision = "fp32" if precision == "auto" else precision
        check_onnx_precision(self.precision, device)
        if self.precision != "fp32":
            raise UserError(f"--engine {engine}: detectors are carried out in fp32, not {self.precision}")
        if not exportable(network):
            raise UserError(f"{name} is no one-stage detector: it has no ONNX engine, take torch for it")
        with torch.inference_mode():
            self._like: Any = RawDetector(network)(torch.zeros(1, 3, _SIZE[1], _SIZE[0], device=device))
        path = export_detector(network, name)
        self._session = OnnxSession(path, device, engine, torch.get_num_threads(), _SIZE)
        network.bbox_head.forward = lambda outputs: outputs
        self.finite = True

    def __call__(self, batch: Tensor) -> Any:
        """Raw outputs of the head for (N, 3, H, W) normalised images."""
        outputs = self._session(batch)
        self.finite = all(bool(output.isfinite().all()) for output in outputs)
        return nested(outputs, self._like)


class RawDetector(nn.Module):
    """A one-stage detector up to the raw outputs of its head."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Any:
        """pixels: (N, 3, H, W), normalised."""
        return self.network.bbox_head(self.network.extract_feat(pixels))


def export_detector(network: Any, name: str) -> Path:
    """The ONNX file of a one-stage detector's raw outputs; errors as `onnx_export.exported`."""
    return exported(RawDetector(network), name, _SIZE, any_size=True)


def exportable(network: Any) -> bool:
    """Whether boxes follow from what one head gives for the whole image (RTMDet, YOLOX, RetinaNet ...)."""
    from mmdet.models.detectors import SingleStageDetector

    return isinstance(network, SingleStageDetector) and not hasattr(network, "mask_head")
