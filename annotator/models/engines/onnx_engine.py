"""ONNX Runtime behind the engine's interface, on exactly the provider that was asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from annotator.errors import UserError
from annotator.models.engines.engine import PRECISIONS, Normalization, normaliser
from annotator.models.engines.onnx_export import INPUT, exported
from annotator.models.engines.outputs import nested
from annotator.models.engines.precision import lower_precision
from annotator.pose.decoding import Outputs

PROVIDERS = {
    ("onnx", "cpu"): "CPUExecutionProvider",
    ("onnx", "cuda"): "CUDAExecutionProvider",
    ("tensorrt", "cuda"): "TensorrtExecutionProvider",
}

_KINDS = {torch.float32: np.float32, torch.float16: np.float16}
# Bytes of a file that is not worth a second copy in memory to be timed.
_LARGE = 512 << 20


class OnnxSession:
    """An ONNX file on one provider, torch tensors in and out without a copy.

    On a CPU with several threads there are two ways to use them: all on each operation in turn, or each on
    its share of the pictures. Small networks of many operations gain by the second; both are timed once.

    Args:
        path: from `onnx_export.exported`.
        device: where inputs and outputs lie, for torch.
        engine: "onnx" or "tensorrt".
        threads: on the CPU.
        size: (width, height) of typical inputs, to time the two ways with.

    Attributes:
        parts: into how many a batch is divided, at most.

    Raises:
        UserError: that provider is not in this build of ONNX Runtime, did not take the network, or would
            calculate in TensorFloat-32.
    """

    def __init__(
        self,
        path: Path,
        device: torch.device,
        engine: str = "onnx",
        threads: int = 1,
        size: tuple[int, int] = (64, 64),
    ) -> None:
        self._device = device
        self._outputs: dict[tuple[int, int], list[Tensor]] = {}
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="onnx")
        self.parts = 1
        self._session: Any = _session(path, device, engine, threads)
        self._names = [output.name for output in self._session.get_outputs()]
        if device.type == "cpu" and threads > 1 and path.stat().st_size < _LARGE:
            together, alone = self._session, _session(path, device, engine, 1)
            pixels = torch.zeros(4 * threads, 3, size[1], size[0])
            seconds = []
            for session, parts in ((together, 1), (alone, threads)):
                self._session, self.parts = session, parts
                seconds.append(min(_timed(self, pixels) for _ in range(3)))
            if seconds[0] <= seconds[1]:
                self._session, self.parts = together, 1

    def __call__(self, pixels: Tensor) -> list[Tensor]:
        """The outputs, flat, for pixels (N, 3, H, W) on the device."""
        pixels = pixels.contiguous()
        outputs = [
            none.new_empty(len(pixels), *none.shape[1:], device=self._device)
            for none in self._outputs_of_none(pixels)
        ]
        if self._device.type == "cuda":
            # ONNX Runtime has a stream of its own.
            torch.cuda.current_stream(self._device).synchronize()
        each = -(-len(pixels) // self.parts)
        spans = [slice(start, start + each) for start in range(0, len(pixels), each)]
        try:
            if len(spans) == 1:
                self._run(pixels, outputs)
            else:
                for _ in self._pool.map(
                    lambda span: self._run(pixels[span], [output[span] for output in outputs]), spans
                ):
                    pass
        except Exception as error:
            # Its errors have no class of their own; a smaller batch may help, as with torch.
            if "Failed to allocate memory" in str(error) or "out of memory" in str(error).lower():
                raise torch.OutOfMemoryError(str(error)[:300]) from error
            raise
        return outputs

    def _run(self, pixels: Tensor, outputs: list[Tensor]) -> None:
        binding = self._session.io_binding()
        place = (self._device.type, self._device.index or 0)
        binding.bind_input(INPUT, *place, _KINDS[pixels.dtype], tuple(pixels.shape), pixels.data_ptr())
        for output, tensor in zip(self._names, outputs, strict=True):
            kind = _KINDS[tensor.dtype]
            binding.bind_output(output, *place, kind, tuple(tensor.shape), tensor.data_ptr())
        self._session.run_with_iobinding(binding)

    def _outputs_of_none(self, pixels: Tensor) -> list[Tensor]:
        """The outputs for no picture of that size, which have the shapes and dtypes of all; learnt once.

        A network in float16 gives float32 where its last layers stay exact.
        """
        size = (pixels.shape[2], pixels.shape[3])
        if size not in self._outputs:
            found: list[Any] = self._session.run(None, {INPUT: pixels[:1].cpu().numpy()})  # type: ignore[assignment]
            self._outputs[size] = [torch.from_numpy(part[:0].copy()) for part in found]
        return self._outputs[size]


class OnnxEngine:
    """A pose network carried out by ONNX Runtime; see `engines.Engine`.

    Args:
        network: takes (N, 3, H, W) normalised crops.
        normalization: how it wants its pixels.
        size: (width, height) of its input.
        name: of the model, for messages.
        device: "cpu", "cuda", "cuda:1", ...
        precision: "fp32", and on a GPU "fp16"; "auto" is fp32.
        engine: "onnx" or "tensorrt".

    Raises:
        UserError: the provider is absent, the precision is not one of its, or the network cannot be exported.
    """

    padded = False

    def __init__(
        self,
        network: nn.Module,
        normalization: Normalization,
        size: tuple[int, int],
        name: str,
        device: str = "cpu",
        precision: str = "auto",
        engine: str = "onnx",
    ) -> None:
        self.name = engine
        self.precision = "fp32" if precision == "auto" else precision
        self.device = torch.device(device)
        check_precision(self.precision, self.device)
        self._dtype = PRECISIONS[self.precision]
        network = network.eval()
        lower_precision(network, self._dtype, torch.zeros(1, 3, size[1], size[0]))
        network = network.to(self.device)
        self._session = OnnxSession(
            exported(network, name, size), self.device, engine, torch.get_num_threads(), size
        )
        with torch.inference_mode():
            self._like: Any = network(
                torch.zeros(1, 3, size[1], size[0], dtype=self._dtype, device=self.device)
            )
        self._normalise: Callable[[Tensor, bool], Tensor] = normaliser(normalization, self.device)

    @property
    def parts(self) -> int:
        """Into how many a batch is divided on the CPU's threads, at most."""
        return self._session.parts

    @torch.inference_mode()
    def __call__(self, crops: Tensor, mirror: bool = False) -> Outputs:
        """See `Engine`."""
        pixels = self._normalise(crops, mirror).to(self._dtype)
        return nested(self._session(pixels), self._like)


def _session(path: Path, device: torch.device, engine: str, threads: int) -> Any:
    """ONNX Runtime's session on exactly the provider asked for."""
    import onnxruntime

    provider = PROVIDERS.get((engine, device.type))
    if provider is None:
        raise UserError(f"--engine {engine}: not for device {device.type}; take --engine torch or onnx")
    if provider not in onnxruntime.get_available_providers():
        on = "with --device cpu" if engine == "onnx" else "where that is to be had"
        raise UserError(
            f"--engine {engine} on {device.type} needs ONNX Runtime's {provider}, which this build does "
            "not have: install onnxruntime-gpu in place of onnxruntime, or take --engine torch. A run that "
            f"was begun with {engine} keeps it: it goes on {on}, or anew in another --out"
        )
    if engine == "tensorrt" and os.environ.get("NVIDIA_TF32_OVERRIDE") != "0":
        # Its provider has no option for that, and CUDA reads the variable when it starts: too late by now.
        raise UserError(
            "--engine tensorrt would calculate what is float32 in TensorFloat-32, which has the mantissa of "
            "fp16: set NVIDIA_TF32_OVERRIDE=0 in the environment, on a cluster in that of its nodes, before "
            "the start, or take --engine onnx"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that spin between calls take the cores from those that decode and crop.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        str(path), options, providers=[(provider, _provider_options(provider, device, path))]
    )
    session.disable_fallback()
    used = session.get_providers()[0]
    if used != provider:
        raise UserError(f"--engine {engine}: ONNX Runtime took {used} instead of {provider}")
    return session


def _timed(session: OnnxSession, pixels: Tensor) -> float:
    started = time.perf_counter()
    session(pixels)
    return time.perf_counter() - started


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse what ONNX Runtime would carry out in another precision than asked.

    Raises:
        UserError: it is none of this provider's.
    """
    allowed = ("fp32", "fp16") if device.type == "cuda" else ("fp32",)
    if precision not in allowed:
        raise UserError(
            f"--engine onnx on {device.type} calculates in {' or '.join(allowed)}, not in {precision!r}: "
            "take another --precision, or --engine torch"
        )


def _provider_options(provider: str, device: torch.device, path: Path) -> dict[str, Any]:
    if provider == "CPUExecutionProvider":
        return {}
    index = device.index or 0
    if provider == "CUDAExecutionProvider":
        # TensorFloat-32 has the mantissa of fp16: not what fp32 promises.
        return {"device_id": index, "use_tf32": 0}
    return {
        "device_id": index,
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(path.parent),
        "trt_fp16_enable": False,  # the graph itself is in the precision asked for
    }
