"""Engines: what ONNX Runtime computes equals torch, is kept, and is refused where it would not be used."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from annotator.errors import UserError
from annotator.models.engines import onnx_engine, onnx_export
from annotator.models.engines.engine import Normalization, TorchEngine
from annotator.models.engines.engine_choice import make_engine
from annotator.models.engines.folding import fold_norms
from annotator.models.engines.onnx_export import ExportError, exported
from annotator.models.engines.outputs import split
from annotator.models.engines.sharing import Sharing
from annotator.models.passes import Passes

SIZE = (24, 32)
NORMALIZATION = Normalization((10.0, 20.0, 30.0), (1.0, 2.0, 4.0), rgb=False)


class Network(nn.Module):
    """Two outputs in a list, as multi-stage and SimCC heads have them."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.final_layer = nn.Conv2d(4, 2, 1)

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        maps = self.final_layer(self.body(pixels).relu())
        return [maps.amax(2), maps]


class Stubborn(Network):
    """Computes something else while it is traced."""

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        factor = 2.0 if torch.jit.is_tracing() else 1.0
        return [part * factor for part in super().forward(pixels)]


class Fixed(Network):
    """Forgets how many pictures there are when it is traced."""

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        a, b = super().forward(pixels)
        return [a, b.reshape(int(pixels.shape[0]), 2, -1)]


class Unknown(Network):
    """Pools to a size that the exporter does not know, as LiteHRNet does."""

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        maps = super().forward(pixels)[1]
        return [nn.functional.adaptive_avg_pool2d(maps, maps[:, :, ::3, ::3].shape[-2:])]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANNOTATOR_WEIGHTS_DIR", str(tmp_path / "weights"))
    return tmp_path / "onnx"


def crops(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, SIZE[1], SIZE[0], 3), dtype=torch.uint8)


def engine(kind: str, network: nn.Module, **options: Any):
    return make_engine(kind, network, NORMALIZATION, SIZE, "net", **options)


def test_onnx_equals_torch_for_any_number_of_crops_and_their_mirror_images() -> None:
    ours, theirs = engine("onnx", Network()), engine("torch", Network())
    assert (ours.name, ours.precision, theirs.name) == ("onnx", "fp32", "torch")
    for count in (1, 2, 7):
        pictures = crops(count)
        for mirror in (False, True):
            found, expected = ours(pictures, mirror), theirs(pictures, mirror)
            assert isinstance(found, list) and len(found[1]) == count * (1 + mirror)
            for a, b in zip(found, expected, strict=True):
                assert a.shape == b.shape and torch.allclose(a, b, atol=1e-4, rtol=1e-4)
    plain, mirrored = split(ours(crops(3), mirror=True), 3)
    assert plain[1].shape == mirrored[1].shape == (3, 2, 16, 12)


def test_a_network_in_float16_gives_what_its_exact_layers_give(monkeypatch: pytest.MonkeyPatch) -> None:
    # Only a GPU calculates in it; the CPU's provider converts, and serves to see what is bound.
    monkeypatch.setattr(onnx_engine, "check_precision", lambda *_: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    pictures = crops(3)
    found = engine("onnx", Network(), precision="fp16")(pictures)
    for ours, exact in zip(found, engine("torch", Network())(pictures), strict=True):
        assert ours.dtype == torch.float32
        assert torch.allclose(ours, exact, atol=0.02 * float(exact.abs().max()))


def test_an_export_is_kept_and_found_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = exported(Network(), "net", SIZE)
    assert first.is_file() and cache in first.parents
    monkeypatch.setattr(onnx_export, "_export", lambda *_: pytest.fail("exported again"))
    assert exported(Network(), "net", SIZE) == first
    with pytest.raises(pytest.fail.Exception):
        exported(Network(seed=1), "net", SIZE)
    with pytest.raises(pytest.fail.Exception):
        exported(Network(), "net", (32, 32))
    assert [path.name for path in cache.iterdir()] == [first.parent.name]


@pytest.mark.parametrize("network", [Stubborn, Fixed])
def test_an_export_that_computes_something_else_is_refused_and_not_kept(network: type, cache: Path) -> None:
    with pytest.raises(ExportError, match=r"net.*--engine torch"):
        exported(network(), "net", SIZE)
    assert not any(cache.iterdir())


def test_what_cannot_be_exported_is_said_in_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExportError, match="net cannot be exported to ONNX"):
        exported(Unknown(), "net", SIZE)
    assert capfd.readouterr() == ("", "")


def test_sizes_stay_free_where_asked() -> None:
    import onnxruntime

    path = exported(Network(), "net", (32, 32), any_size=True)
    run = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run
    maps = run(None, {"pixels": torch.zeros(2, 3, 64, 96).numpy()})[1]
    assert maps.shape == (2, 2, 32, 48)


@pytest.mark.parametrize("faster", [1, 3])
def test_threads_share_operations_or_pictures_whichever_is_faster(
    faster: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_engine, "_timed", lambda session, _: abs(session.parts - faster))
    session = onnx_engine.OnnxSession(exported(Network(), "net", SIZE), torch.device("cpu"), "onnx", 3, SIZE)
    assert session.parts == faster
    network = Network().eval()
    for count in (1, 2, 4, 7):
        pixels = torch.randn(count, 3, SIZE[1], SIZE[0])
        with torch.inference_mode():
            expected = network(pixels)
        for a, b in zip(session(pixels), expected, strict=True):
            assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("onnx", {"precision": "bf16"}, "fp32, not in 'bf16'"),
        ("onnx", {"precision": "fp16"}, "fp32, not in 'fp16'"),
        (
            "onnx",
            {"device": "cuda"},
            "CUDAExecutionProvider.*onnxruntime-gpu.* goes on with --device cpu,",
        ),
        ("tensorrt", {"device": "cpu"}, "not for device cpu"),
        ("openvino", {}, "expected torch"),
    ],
)
def test_what_would_not_be_used_is_refused(
    kind: str, options: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if options.get("device") == "cuda" and not torch.cuda.is_available():
        # Only the network's move there needs the device; the provider is looked up after it.
        monkeypatch.setattr(nn.Module, "to", lambda self, *_, **__: self)
        monkeypatch.setattr("annotator.models.engines.onnx_engine.exported", lambda *_: Path("none"))
    with pytest.raises(UserError, match=message):
        engine(kind, Network(), **options)


def test_the_last_layer_stays_exact_in_bfloat16() -> None:
    network = Network()
    TorchEngine(network, NORMALIZATION, SIZE, precision="bf16")
    assert network.body.weight.dtype == torch.bfloat16
    assert network.final_layer.weight.dtype == torch.float32
    assert network(torch.zeros(1, 3, 32, 24, dtype=torch.bfloat16))[1].dtype == torch.float32


def test_tensorrt_is_refused_unless_tensorfloat_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    class Session:
        def __init__(self, *_: object, providers: list[tuple[str, dict[str, object]]]) -> None:
            self.providers = [name for name, _ in providers]

        def disable_fallback(self) -> None: ...

        def get_providers(self) -> list[str]:
            return self.providers

        def get_outputs(self) -> list[object]:
            return []

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["TensorrtExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    with pytest.raises(UserError, match="set NVIDIA_TF32_OVERRIDE=0 in the environment"):
        onnx_engine.OnnxSession(Path("none"), torch.device("cuda"), "tensorrt")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    onnx_engine.OnnxSession(Path("none"), torch.device("cuda"), "tensorrt")


def test_compiled_batches_are_padded_to_one_size_and_cut_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def compile_(network: nn.Module, dynamic: bool, options: dict[str, bool]) -> object:
        assert not dynamic and options == {"freezing": True}

        def call(pixels: torch.Tensor) -> object:
            seen.append(len(pixels))
            return network(pixels)

        return call

    monkeypatch.setattr(torch, "compile", compile_)
    ours, plain = engine("compile", Network(), batch=4), engine("torch", Network())
    for count in (1, 2, 4, 3):
        pictures = crops(count)
        for a, b in zip(ours(pictures), plain(pictures), strict=True):
            assert torch.allclose(a, b, atol=1e-4)
    # Each size would be compiled anew, and torch stops compiling after a few.
    assert seen == [4, 4, 4, 4]


def test_what_is_compiled_has_plain_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda network, **_: network)
    network = Network()
    # As every ViT's DropPath has it.
    setattr(network, "rate", np.linspace(0, 0.1, 3)[1])  # noqa: B010
    engine("compile", network, batch=4)
    assert type(network.rate) is float and network.rate == 0.05


def test_compiled_batches_are_not_padded_to_one_that_had_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    room = 5

    def call(pixels: torch.Tensor) -> torch.Tensor:
        seen.append(len(pixels))
        if len(pixels) > room:
            raise torch.OutOfMemoryError("out of memory")
        return pixels

    monkeypatch.setattr(torch, "compile", lambda *_, **__: call)
    ours = engine("compile", Network(), batch=16)

    def parts(count: int) -> list[int]:
        return [len(found) for found in Passes().over(count, lambda part: ours(crops(count)[part]))]

    # A single crop is what a worker measures first.
    assert parts(1) == [1] and seen == [16, 8, 4]
    del seen[:]
    assert parts(8) == [4, 4] and parts(3) == [3] and seen == [8, 4, 4, 4]
    # What there was memory for once need not have it for ever.
    room = 2
    del seen[:]
    assert parts(4) == [2, 2] and parts(1) == [1] and seen == [4, 4, 2, 2, 2]
    room = 1
    del seen[:]
    assert parts(2) == [1, 1] and seen == [2, 2, 1, 1]


class Normed(nn.Module):
    """Normalisations after convolutions of three kinds; one of them before a branch if `branch` is set."""

    def __init__(self, branch: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        # Registered in another order than they are called in.
        self.norms = nn.ModuleList([nn.BatchNorm2d(6), nn.BatchNorm2d(4), nn.BatchNorm2d(6)])
        self.plain, self.grouped = nn.Conv2d(3, 6, 3, bias=False), nn.Conv2d(6, 6, 3, groups=3)
        self.back = nn.ConvTranspose2d(6, 4, 2, stride=2)
        self.branch = branch
        for norm in self.norms:
            for values in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
                nn.init.uniform_(values, 0.5, 2.0)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        first = self.plain(pixels)
        found = self.grouped(self.norms[0](first).relu())
        if self.branch:
            found = found + first[:, :, 2:, 2:]
        return self.norms[1](self.back(self.norms[2](found).relu()))


def test_normalisations_are_folded_into_the_convolutions_they_follow() -> None:
    network, pixels = Normed().eval(), torch.randn(2, 3, 12, 10)
    with torch.inference_mode():
        expected = network(pixels)
        assert fold_norms(network, pixels[:1]) == 3
        assert all(isinstance(norm, nn.Identity) for norm in network.norms)
        assert torch.allclose(network(pixels), expected, atol=1e-5, rtol=1e-4)
    assert fold_norms(network, pixels) == 0


def test_a_network_that_uses_a_convolution_elsewhere_too_stays_as_it_was() -> None:
    network, pixels = Normed(branch=True).eval(), torch.randn(2, 3, 12, 10)
    with torch.inference_mode():
        expected = network(pixels)
        assert fold_norms(network, pixels) == 0
        assert torch.equal(network(pixels), expected)


@pytest.mark.parametrize("faster", [1, 3])
def test_torch_shares_layers_or_pictures_whichever_was_faster_in_turns(
    faster: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, threads, before = [0.0], [], torch.get_num_threads()
    monkeypatch.setattr("annotator.models.engines.sharing.time.perf_counter", lambda: now[0])

    def network(pixels: torch.Tensor) -> list[torch.Tensor]:
        threads.append((threading.current_thread().name, torch.get_num_threads(), len(pixels)))
        now[0] += len(pixels) * (1.0 if (len(pixels) < 7) == (faster == 3) else 9.0)
        return [pixels * 2, pixels + 1]

    torch.set_num_threads(3)
    try:
        sharing, pixels = Sharing(network, 3), torch.arange(7.0)
        sharing(pixels[:5])
        assert sharing.parts is None and len(threads) == 1
        for _ in range(4):
            a, b = sharing(pixels)
            assert torch.equal(a, pixels * 2) and torch.equal(b, pixels + 1)
        assert sharing.parts == faster
        assert {(count, size) for name, count, size in threads if name.startswith("network")} == {
            (1, 3),
            (1, 1),
        }
        del threads[:]
        sharing(pixels)
        assert len(threads) == faster
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
