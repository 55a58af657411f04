"""The doctor's questions about models, on a machine that is well and on one that is not."""

from __future__ import annotations

import pytest
import torch

from annotator.models.weights import checks


def test_a_sound_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.torch_devices()[0] and torch.__version__ in checks.torch_devices()[1]
    ok, found, _ = checks.operations()
    assert ok and "torchvision" in found


def test_wrong_and_failing_operations_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import mmcv.ops

    monkeypatch.setattr(mmcv.ops, "nms", lambda *_: (None, torch.tensor([0, 1, 2])))
    assert checks.operations()[0] is False

    def fail(*_: object) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(mmcv.ops, "nms", fail)
    ok, found, fix = checks.operations()
    assert not ok and "torchvision::nms" in found and "make setup" in fix


def test_a_gpu_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "GPU")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("driver too old\nmore")

    monkeypatch.setattr(torch, "ones", fail)
    ok, found, fix = checks.torch_devices()
    assert not ok and "driver too old" in found and "--device cpu" in fix
