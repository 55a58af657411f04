"""Checkpoints are read without running their code, and loaded only into the network they belong to."""

from __future__ import annotations

import builtins
import datetime
import os
import pathlib
import pickle
import subprocess
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from annotator.errors import UserError
from annotator.models.weights.loading import (
    Checkpoint,
    load_checkpoint,
    load_into,
    load_state,
    safetensors_copy,
    write_safetensors_copy,
)


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *args) -> None:
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def same(a, b) -> bool:
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def state() -> OrderedDict:
    torch.manual_seed(0)
    return OrderedDict(
        {"backbone.weight": torch.randn(3, 4), "head.bias": torch.randn(2), "head.n": torch.tensor(7)}
    )


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "meta": {"epoch": 3}, "optimizer": {"state": {0: {"step": 1}}}},
        lambda s: {"model": s, "ema_state_dict": {"module.backbone.weight": torch.zeros(1)}},
        lambda s: {"state_dict": {f"module.{key}": value for key, value in s.items()}},
        lambda s: {"state_dict": {key: nn.Parameter(value.float()) for key, value in s.items()}},
    ],
)
def test_wrapped_states_are_found(tmp_path: Path, state, wrap, zipped: bool) -> None:
    path = tmp_path / "w.pth"
    torch.save(wrap(state), path, _use_new_zipfile_serialization=zipped)
    assert same(load_state(path), state)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("function", "args"),
    [
        (os.system, ("touch {}",)),
        (builtins.exec, ("open(r'{}', 'w')",)),
        (builtins.eval, ("open(r'{}', 'w')",)),
        (subprocess.call, (["touch", "{}"],)),
        (builtins.open, ("{}", "w")),
        (builtins.__import__, ("antigravity",)),
        (torch.hub.load_state_dict_from_url, ("http://localhost/{}",)),
        (torch.load, ("{}",)),
        (pickle.loads, (b"cos\nsystem\n(S'touch {}'\ntR.",)),
    ],
)
def test_a_checkpoint_that_runs_code_is_refused(tmp_path: Path, state, function, args, zipped: bool) -> None:
    mark = tmp_path / "ran"
    filled = tuple(
        arg.replace("{}", str(mark)) if isinstance(arg, str)
        else [part.replace("{}", str(mark)) for part in arg] if isinstance(arg, list)
        else arg.replace(b"{}", bytes(mark))
        for arg in args
    )  # fmt: skip
    path = tmp_path / "evil.pth"
    torch.save(
        {"state_dict": state, "meta": Calls(function, *filled)}, path, _use_new_zipfile_serialization=zipped
    )
    with pytest.raises(UserError, match=r"refused.*" + function.__name__):
        load_state(path)
    assert not mark.exists()


def test_getattr_reaches_nothing(tmp_path: Path, state) -> None:
    """mmengine's buffers need `getattr` in the pickle; what it is given here must not be called."""
    mark = tmp_path / "ran"
    path = tmp_path / "evil.pth"
    touch = Calls(getattr, pathlib.PurePosixPath(str(mark)), "touch")
    torch.save({"state_dict": state, "meta": {"x": touch}}, path)
    assert same(load_state(path), state)
    assert not mark.exists()


def test_what_openmmlab_leaves_beside_weights_loads(tmp_path: Path, state) -> None:
    from mmengine.config import ConfigDict
    from mmengine.logging import HistoryBuffer

    sigmas = np.array([0.026, 0.1], np.float32)
    meta = {
        "dataset_meta": {"sigmas": sigmas, "keypoint_id2name": {0: "a", 1: "b"}, "pairs": ((0, 1),)},
        "cfg": ConfigDict(model=ConfigDict(type="TopdownPoseEstimator")),
        "time": datetime.datetime(2026, 1, 2, 3, 4),
        "best": np.float64(0.75),
    }
    path = tmp_path / "epoch_1.pth"
    torch.save({"meta": meta, "state_dict": state, "message_hub": {"loss": HistoryBuffer([1.0], [1])}}, path)
    checkpoint = load_checkpoint(path)
    assert same(checkpoint.state, state)
    described = checkpoint.meta["dataset_meta"]
    assert np.array_equal(described["sigmas"], sigmas) and described["sigmas"].dtype == np.float32
    assert described["keypoint_id2name"] == {0: "a", 1: "b"} and described["pairs"] == ((0, 1),)
    assert checkpoint.meta["best"] == 0.75


def test_views_and_shared_tensors_survive(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    state = {
        "a": base,
        "b": base,
        "t": base.t(),
        "part": base[1:, 1:],
        "half": base.half(),
        "bf": base.bfloat16(),
    }
    path = tmp_path / "w.pth"
    torch.save(state, path)
    assert same(load_state(path), state)
    copy = write_safetensors_copy(path, "0" * 64)
    assert copy is not None and same(dict(sorted(load_state(copy).items())), dict(sorted(state.items())))


@pytest.mark.parametrize("error", [OSError("read-only"), SafetensorError("I/O error: Permission denied")])
def test_a_folder_that_cannot_be_written_to_gets_no_copy(tmp_path: Path, state, monkeypatch, error) -> None:
    """A read-only folder or a full disk: the weights are there all the same."""

    def fail(*_: object, **__: object) -> None:
        raise error

    path = tmp_path / "w.pth"
    torch.save(state, path)
    monkeypatch.setattr("safetensors.torch.save_file", fail)
    assert write_safetensors_copy(path, "0" * 64) is None
    assert list(tmp_path.iterdir()) == [path] and same(load_checkpoint(path, "0" * 64).state, state)


def test_the_safetensors_copy_is_used_only_for_the_file_it_was_made_from(tmp_path: Path, state) -> None:
    path = tmp_path / "w.pth"
    network = nn.Sequential(nn.Linear(2, 2))
    torch.save({"state_dict": network.state_dict(), "meta": {"sigmas": np.ones(2), "names": {0: "a"}}}, path)
    assert write_safetensors_copy(path, "a" * 64) == safetensors_copy(path)
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(safetensors_copy(path), "pt") as file:
        notes = file.metadata()
    marked = {key: value + 1 for key, value in load_file(safetensors_copy(path)).items()}
    save_file(marked, safetensors_copy(path), metadata=notes)
    read = load_checkpoint(path, "a" * 64)
    assert torch.equal(read.state["0.weight"], network.state_dict()["0.weight"] + 1)
    assert read.meta == {"sigmas": [1.0, 1.0], "names": {0: "a"}}
    assert read.state._metadata == network.state_dict()._metadata  # type: ignore[attr-defined]
    other = load_checkpoint(path, "b" * 64)
    assert torch.equal(other.state["0.weight"], network.state_dict()["0.weight"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "checkpoint"),
        (b"not a checkpoint at all", "checkpoint"),
        (b"PK\x03\x04" + bytes(100), "checkpoint"),
        (pickle.dumps([1, 2, 3]), "checkpoint"),
    ],
)
def test_files_that_are_no_checkpoints_are_one_clear_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load_state(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_truncated_files_are_named(tmp_path: Path, state) -> None:
    path = tmp_path / "w.pth"
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"w\.pth"):
        load_state(path)
    path.with_suffix(".safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{" + bytes(30))
    with pytest.raises(UserError, match="safetensors"):
        load_state(path.with_suffix(".safetensors"))
    with pytest.raises(UserError, match="not found"):
        load_state(tmp_path / "absent.pth")


def legacy(program: bytes) -> bytes:
    """A checkpoint as torch wrote them before zip archives, around the pickle of its contents."""
    magic, protocol = 0x1950A86A20F9469CFC6C, 1001
    sizes = {"short": 2, "int": 4, "long": 4}
    system = {"protocol_version": protocol, "little_endian": True, "type_sizes": sizes}
    return b"".join(
        [*(pickle.dumps(part, 2) for part in (magic, protocol, system)), program, pickle.dumps([], 2)]
    )


def text(value: str) -> bytes:
    """The opcode that pushes a string."""
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


NAMED = b"c_codecs\nencode\n"  # the one harmless function


@pytest.mark.parametrize("disguised", [True, False])
def test_a_checkpoint_that_makes_torch_write_a_file_is_refused(tmp_path: Path, disguised: bool) -> None:
    """torch saves the source of a pickled module beside the name that its class claims to have."""
    target = tmp_path / "planted"
    disguise = b"N}(" + text("__name__") + text(str(target)) + text("dump_patches") + b"\x88u\x86b"
    reference = b"(" + text("module") + NAMED + disguise * disguised + text("a.py") + text("attack") + b"tQ"
    path = tmp_path / "evil.pth"
    path.write_bytes(legacy(b"\x80\x02" + reference + b"0}."))
    with pytest.raises(UserError):
        load_state(path)
    assert [file.name for file in tmp_path.iterdir()] == ["evil.pth"]


def test_what_a_pickle_is_given_takes_no_attributes(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    path.write_bytes(legacy(b"\x80\x02" + NAMED + b"}(" + text("__name__") + text("x") + b"ub0}."))
    with pytest.raises(UserError):
        load_state(path)


def test_a_whole_pickled_network_and_torchscript_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"model": nn.Linear(2, 2)}, path)
    with pytest.raises(UserError, match="no state dict"):
        load_state(path)
    torch.jit.script(nn.Linear(2, 2)).save(str(path))
    with pytest.raises(UserError, match="TorchScript"):
        load_state(path)


class Network(nn.Module):
    """With the kinds of tensors whose absence matters or not."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 2)
        self.head.register_buffer("grid", torch.arange(3.0))
        self.head.loss_module = nn.Linear(1, 1)


@pytest.mark.parametrize("absent", ["backbone.1.num_batches_tracked", "head.grid", "head.loss_module.weight"])
def test_what_inference_does_not_need_may_be_missing(absent: str) -> None:
    state = Network().state_dict()
    del state[absent]
    network = Network()
    load_into(network, Checkpoint(OrderedDict(state)), "w.pth")
    assert all(torch.equal(network.state_dict()[name], value) for name, value in state.items())


@pytest.mark.parametrize("absent", ["backbone.0.weight", "backbone.1.running_mean", "head.bias"])
def test_what_inference_needs_may_not_be_missing(absent: str) -> None:
    state = Network().state_dict()
    state[f"other.{absent}"] = state.pop(absent)
    with pytest.raises(UserError, match=absent) as caught:
        load_into(Network(), Checkpoint(OrderedDict(state)), "w.pth")
    assert "w.pth" in str(caught.value) and f"other.{absent}" in str(caught.value)


def test_another_shape_is_another_network() -> None:
    state = Network().state_dict()
    state["head.weight"] = torch.zeros(3, 4)
    with pytest.raises(UserError, match=r"size mismatch for head\.weight"):
        load_into(Network(), Checkpoint(OrderedDict(state)), "w.pth")
