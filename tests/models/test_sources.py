"""What a user names becomes files, or one clear line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from annotator.errors import UserError
from annotator.models.sources import resolve_detector, resolve_pose
from annotator.models.weights import fetch
from annotator.models.zoo import catalogue

POSE = """
default_scope = 'mmpose'
model = dict(type='TopdownPoseEstimator', backbone=dict(type='ResNet', depth=50),
    head=dict(type='HeatmapHead'))
"""
DETECTOR = "default_scope = 'mmdet'\nmodel = dict(type='RTMDet', bbox_head=dict(num_classes=1))\n"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANNOTATOR_WEIGHTS_DIR", str(tmp_path / "cache"))

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(fetch, "_download", refuse)


def test_a_config_and_weights_become_a_source(tmp_path: Path) -> None:
    config, weights = tmp_path / "mine.py", tmp_path / "mine.pth"
    config.write_text(POSE)
    weights.write_bytes(b"weights")
    source = resolve_pose(str(config), str(weights))
    assert (source.name, source.kind) == ("mine", "pose")
    assert (source.config_path, source.weights_path) == (str(config), str(weights))
    assert source.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert resolve_pose(str(config), "mine.pth", str(tmp_path)) == source
    config.write_text("# another comment\n" + POSE)
    assert resolve_pose(str(config), str(weights)) == source
    config.write_text(POSE.replace("50", "101"))
    assert resolve_pose(str(config), str(weights)).config_sha256 != source.config_sha256


def test_random_weights_are_asked_for_by_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(POSE)
    source = resolve_pose(str(tmp_path / "mine.py"), "random")
    assert source.weights_path is None and source.sha256 == "random" and source.random_weights


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "config not found"),
        ("model = dict(", "not a Python config"),
        ("\x00\x01", "not a"),
        ("x = 1", "defines no `model"),
        ("model = 3", "defines no `model"),
        ("1 / 0", "ZeroDivisionError"),
        ("_base_ = 'absent.py'\n", "absent.py"),
        (DETECTOR, "describes a detector \\(RTMDet\\); here a 2D pose model is needed"),
        ("model = dict(type='mmpose.PoseLifter')", "3D pose lifter"),
        ("model = dict(type='mmpretrain.ImageClassifier')", "another kind of model"),
    ],
)
def test_unusable_configs_are_one_line(tmp_path: Path, content: str | None, message: str) -> None:
    config = tmp_path / "mine.py"
    if content is not None:
        config.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        resolve_pose(str(config), "random")
    assert "\n" not in str(caught.value) and "mine.py" in str(caught.value)


def test_a_pose_model_is_no_detector(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(POSE)
    with pytest.raises(UserError, match=r"describes a pose model .* here a person detector is needed"):
        resolve_detector(str(tmp_path / "mine.py"), "random")
    (tmp_path / "mine.py").write_text(DETECTOR)
    assert resolve_detector(str(tmp_path / "mine.py"), "random").kind == "detector"


def test_weights_must_be_named_and_there(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(POSE)
    with pytest.raises(UserError, match=r"name a file with --pose-weights"):
        resolve_pose(str(tmp_path / "mine.py"))
    with pytest.raises(UserError, match=r"--pose-weights absent\.pth: no such file"):
        resolve_pose(str(tmp_path / "mine.py"), "absent.pth")
    with pytest.raises(UserError, match=r"--pose-weights .*: no such file"):
        resolve_pose(str(tmp_path / "mine.py"), str(tmp_path))


def test_names_of_the_catalogue(tmp_path: Path) -> None:
    entry = catalogue.find_pose("res50")
    source = resolve_pose("res50", "random")
    assert source.name == "res50" and source.config_path == str(entry.config)
    assert resolve_pose(entry.name, "random") == source
    assert resolve_detector("rtmdet-nano", "random").kind == "detector"
    with pytest.raises(UserError, match="did you mean"):
        resolve_pose("hrnet-w48-upd", "random")


def test_official_weights_in_the_folder_are_used_and_checked(tmp_path: Path) -> None:
    entry = catalogue.find_pose("res50")
    assert entry.url is not None
    (tmp_path / fetch.file_name(entry.url)).write_bytes(b"not what the name promises")
    with pytest.raises(UserError, match="damaged"):
        resolve_pose("res50", None, str(tmp_path))
