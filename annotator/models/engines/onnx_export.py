"""Networks as ONNX files: exported by ourselves, compared with torch, kept by what they were made of."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor, nn

from annotator.errors import UserError
from annotator.models.engines.outputs import tensors
from annotator.models.weights.fetch import default_weights_dir

INPUT = "pixels"
_OPSET = 17
# Of the largest output: two libraries that add up in different orders differ by about 1e-6 of it.
_LIMIT = {torch.float32: 1e-4, torch.float16: 2e-2}


class ExportError(UserError):
    """A network that cannot be had as ONNX; torch still carries it out."""


def exported(
    network: nn.Module, name: str, size: tuple[int, int], any_size: bool = False, folder: Path | None = None
) -> Path:
    """The ONNX file of a network; made unless it lies in the cache.

    Args:
        network: takes (N, 3, H, W) pixels in the dtype of its parameters and returns tensors, nested in lists
            or tuples as it likes. On the CPU or a GPU.
        name: for messages.
        size: (width, height) in pixels to trace it with.
        any_size: whether height and width shall stay free like the number of pictures; they must be multiples
            of 32 then.
        folder: of the cache; by default `onnx` beside the downloaded weights.

    Returns:
        A file with one input, `INPUT`, and the network's tensors as `out0`, `out1` ... in their order.

    Raises:
        ExportError: torch cannot trace the network, or what came out computes something else.
    """
    network = Flat(network).eval()
    folder = (folder or default_weights_dir().parent / "onnx") / _key(network, size, any_size)
    path = folder / "network.onnx"
    if path.is_file():
        return path
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name[:8]}-", dir=folder.parent))
    except OSError as error:
        raise ExportError(f"the ONNX network cannot be kept in {folder.parent}: {error.strerror}") from None
    try:
        _export(network, name, size, any_size, aside / path.name)
        _check(network, name, size, any_size, aside / path.name)
        # Whoever else was faster has written the same.
        with contextlib.suppress(OSError):
            aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return path


class Flat(nn.Module):
    """A network that returns its tensors in one tuple, however it nests them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """pixels: (N, 3, H, W)."""
        return tuple(tensors(self.network(pixels)))


def _key(network: nn.Module, size: tuple[int, int], any_size: bool) -> str:
    """Hash of all that decides what the file computes: weights, structure, tracing, this code."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    versions = [metadata.version(package) for package in ("torch", "onnx", "mmpose")]
    digest.update(json.dumps([str(network), size, any_size, versions]).encode())
    for key, tensor in network.state_dict().items():
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        data = tensor.detach().cpu().contiguous()
        digest.update(memoryview(data.view(-1).view(torch.uint8).numpy()) if data.numel() else b"")
    return digest.hexdigest()[:32]


def _pixels(network: nn.Module, count: int, size: tuple[int, int]) -> Tensor:
    """Noise of the kind that normalised pixels are, on the network's device and in its precision."""
    first = next(network.parameters())
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, 3, size[1], size[0], generator=generator).to(first.device, first.dtype)


def _export(network: nn.Module, name: str, size: tuple[int, int], any_size: bool, path: Path) -> None:
    pixels = _pixels(network, 2, size)
    with torch.inference_mode():
        count = len(network(pixels))
    axes = {0: "n", 2: "h", 3: "w"} if any_size else {0: "n"}
    outputs = [f"out{i}" for i in range(count)]
    try:
        with warnings.catch_warnings(), torch.no_grad(), _without_graph():
            # The tracer warns of everything that it takes for a constant; `_check` tries other numbers.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (pixels,),
                str(path),
                input_names=[INPUT],
                output_names=outputs,
                dynamic_axes={INPUT: axes} | dict.fromkeys(outputs, axes),
                opset_version=_OPSET,
                dynamo=False,
            )
    except Exception as error:  # noqa: BLE001 - the tracer raises whatever a network provokes
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ExportError(f"{name} cannot be exported to ONNX ({first}); take --engine torch") from None


@contextlib.contextmanager
def _without_graph() -> Iterator[None]:
    """Keep torch from printing the graph of a network that it cannot export, thousands of lines long.

    Its own switch for that is always on: `setup_onnx_logging` asks a function instead of calling it.
    """
    log = torch._C._jit_onnx_log
    torch._C._jit_onnx_log = lambda *_: None
    try:
        yield
    finally:
        torch._C._jit_onnx_log = log


def _check(network: nn.Module, name: str, size: tuple[int, int], any_size: bool, path: Path) -> None:
    """Compare with torch for one and three pictures, and for another size where that is free."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no common class
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ExportError(
            f"{name}: ONNX Runtime refuses its network ({first}); take --engine torch"
        ) from None
    other = (size[0] + 64, size[1] + 32) if any_size else size
    for count, shape in ((1, size), (3, other)):
        pixels = _pixels(network, count, shape)
        with torch.inference_mode():
            expected = network(pixels)
        found = session.run(None, {INPUT: pixels.cpu().numpy()})
        for ours, theirs in zip(found, expected, strict=True):
            difference = _relative(torch.as_tensor(ours), theirs.cpu())
            if not difference <= _LIMIT[pixels.dtype]:
                raise ExportError(
                    f"{name}: its ONNX network differs from torch by {difference:.2g} of the largest output "
                    f"for {count} pictures; take --engine torch"
                )


def _relative(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return float("inf")
    largest = float(expected.float().abs().max())
    return float((found.float() - expected.float()).abs().max()) / max(largest, 1e-12)
