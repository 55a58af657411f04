"""`auto` engines: resolved once, kept when a run is resumed, and never against what was asked for."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from annotator.config import RunConfig
from annotator.errors import UserError
from annotator.models.engines import engine_choice
from annotator.models.engines.engine_choice import Choice, choose_detector, choose_pose
from annotator.models.engines.onnx_export import ExportError
from annotator.models.sources import resolve_pose
from annotator.runtime.derive import launch_from
from annotator.runtime.engine_settings import check_device, resolve_engines, settle_device, workers_device
from annotator.runtime.launch import launch
from annotator.runtime.progress import ProgressBar
from annotator.runtime.retry import retry
from annotator.store import run_info
from annotator.store.schema import ModelRecord, Provenance


@pytest.fixture
def settings(tmp_path: Path):
    def make(**options: object) -> RunConfig:
        values = {"inputs": ("x",), "out": str(tmp_path / "run"), "device": "cpu", "executor": "inline"}
        return RunConfig(**(values | options))  # type: ignore[arg-type]

    return make


@pytest.fixture
def pose():
    return resolve_pose("rtmpose-t", "random")


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []
    monkeypatch.setattr(engine_choice, "_export_pose", lambda source: made.append(source.name))
    return made


def test_auto_becomes_names_that_are_part_of_the_runs_identity(settings, pose, exports) -> None:
    asked = settings()
    resolved = resolve_engines(asked, pose, None)
    assert (resolved.config.engine, resolved.config.precision) == ("onnx", "fp32")
    assert resolved.config.sha256() != asked.sha256() and exports == ["rtmpose-t"]
    assert "onnx fp32 (fastest" in resolved.opening


def test_a_second_model_is_carried_out_as_asked_or_as_is_best_for_it(settings, pose, monkeypatch) -> None:
    chosen = {"rtmpose-t": "onnx", "rtmpose-s": "torch"}
    monkeypatch.setattr(
        engine_choice,
        "choose_pose",
        lambda source, device, engine, precision: Choice(
            chosen[source.name] if engine == "auto" else engine, "fp32", ""
        ),
    )
    second = resolve_pose("rtmpose-s", "random")
    resolved = resolve_engines(settings(second_pose="rtmpose-s"), pose, None, second)
    assert (resolved.config.engine, resolved.config.second_engine) == ("onnx", "torch")
    assert "the second by torch fp32" in resolved.opening
    for asked in ({"engine": "compile"}, {"engine": "torch", "second_engine": "compile"}):
        found = resolve_engines(settings(second_pose="rtmpose-s", **asked), pose, None, second).config
        assert found.second_engine == "compile"
    assert resolve_engines(settings(), pose, None).config.second_engine == "auto"


def test_a_resumed_run_keeps_what_it_was_started_with(settings, pose, exports, tmp_path: Path) -> None:
    started = settings(engine="torch", precision="bf16", detector_engine="torch", detector_precision="fp32")
    provenance = Provenance(ModelRecord("m"), None, None, started.sha256(), "")
    run_info.create(tmp_path / "run", run_info.RunInfo(started.model_dump(mode="json"), provenance, 1, 1))
    again = resolve_engines(settings(), pose, None).config
    assert again.sha256() == started.sha256() and not exports
    # What is asked for now is not overruled: the run will refuse it by name.
    other = resolve_engines(settings(engine="onnx"), pose, None).config
    assert (other.engine, other.precision) == ("onnx", "bf16")


def test_what_cannot_be_exported_is_carried_out_by_torch_and_says_why(
    settings, pose, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: object) -> None:
        raise ExportError("no such operator; take --engine torch")

    monkeypatch.setattr(engine_choice, "_export_pose", fail)
    assert choose_pose(pose, "cpu") == Choice("torch", "fp32", "no such operator")


def test_rules_by_device_precision_and_kind(pose, exports) -> None:
    assert (choose_pose(pose, "cuda:1").engine, choose_pose(pose, "cuda:1").precision) == ("torch", "fp32")
    assert choose_pose(pose, "cpu", precision="bf16").engine == "torch"
    assert choose_pose(pose, "cpu", "onnx", "fp32") == Choice("onnx", "fp32", "")
    transformer = resolve_pose("vitpose-h", "random")
    assert choose_pose(transformer, "cpu").engine == "torch" and not exports
    whole = resolve_pose("rtmo-s", "random")
    assert choose_pose(whole, "cpu") == Choice("torch", "fp32", "the one for whole images")
    with pytest.raises(UserError, match="whole images"):
        choose_pose(whole, "cpu", "onnx")
    assert choose_detector(pose, "cuda").engine == "torch"
    assert choose_detector(pose, "cpu", "onnx", "fp32") == Choice("onnx", "fp32", "")


@pytest.fixture
def gpus(monkeypatch) -> dict[str, float]:
    """Resources of a cluster that can be joined, to be changed."""
    resources = {"CPU": 8.0}

    @contextmanager
    def session(address):
        yield SimpleNamespace(cluster_resources=lambda: resources)

    monkeypatch.setattr("annotator.runtime.ray.session.ray_session", session)
    return resources


def test_on_a_cluster_auto_is_settled_once_and_never_the_cpu_without_a_word(settings, gpus, caplog) -> None:
    auto = settings(device="auto", executor="ray", address="auto")
    assert settle_device(auto).device == "cpu"
    assert "`--device cuda` waits for GPUs" in caplog.text and "`--device cpu`" in caplog.text
    caplog.clear()
    for asked in ("cpu", "cuda"):
        assert settle_device(settings(device=asked, executor="ray", address="auto")).device == asked
    gpus["GPU"] = 4.0
    assert settle_device(auto).device == "cuda"
    assert settle_device(settings(device="auto", executor="ray")).device == "auto"
    assert not caplog.text


@pytest.mark.parametrize(("device", "before", "now"), [("cuda", 4.0, 0.0), ("cpu", 0.0, 4.0)])
def test_a_run_goes_on_with_the_device_that_it_began_with(
    settings, gpus, pose, exports, tmp_path: Path, device, before, now
) -> None:
    auto = {"device": "auto", "executor": "ray", "address": "auto"}
    gpus["GPU"] = before
    started = resolve_engines(settings(**auto), pose, None).config
    provenance = Provenance(ModelRecord("m"), None, None, started.sha256(), "")
    run_info.create(tmp_path / "run", run_info.RunInfo(started.model_dump(mode="json"), provenance, 1, 1))
    gpus["GPU"] = now
    again = resolve_engines(settings(**auto), pose, None).config
    assert (again.device, again.engine) == (device, started.engine)
    for asked in ("cpu", "cuda"):
        assert resolve_engines(settings(**auto | {"device": asked}), pose, None).config.device == asked


def test_the_workers_device_is_the_one_asked_for(settings) -> None:
    assert workers_device(settings(device="cuda:1")) == "cuda:1"
    assert workers_device(settings(device="auto")) in ("cpu", "cuda")


def test_a_gpu_by_number_is_refused_where_ray_hands_them_out(settings) -> None:
    with pytest.raises(UserError, match=r"CUDA_VISIBLE_DEVICES=1 .* --executor inline"):
        check_device(settings(device="cuda:1", executor="ray"))
    for device, executor in (("cuda:1", "inline"), ("cuda:0", "ray"), ("cuda", "ray"), ("auto", "ray")):
        check_device(settings(device=device, executor=executor))


def test_every_way_to_start_refuses_it_before_any_work(settings, make_run, picture, tmp_path) -> None:
    made = make_run([picture("a.jpg")]).commit()
    config, listener = settings(device="cuda:1", executor="ray"), ProgressBar(quiet=True)
    config = config.model_copy(update={"out": str(tmp_path / "new")})
    for start in (
        lambda: launch(config, listener),
        lambda: launch_from(config, str(made.path), listener),
        lambda: retry(str(made.path), {"device": "cuda:1"}, listener),
    ):
        with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES"):
            start()
    assert not (tmp_path / "new").exists()
