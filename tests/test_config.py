"""The configuration: what is refused, what wins, and what a run's identity depends on."""

from __future__ import annotations

import pytest

from annotator.config import PLACEMENT_FIELDS, RunConfig, load_config
from annotator.errors import UserError


def config(**changes) -> RunConfig:
    return RunConfig(**{"inputs": ("photos",), "out": "run"} | changes)


def test_command_line_beats_file_and_settings_beat_both(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("inputs: [photos]\nout: run\nshard_size: 100\nbatch_people: 7\nbatch_images: 3\n")
    loaded = load_config(str(path), {"shard_size": 50, "flip": None, "batch_people": 8}, ["batch_people=9"])
    assert (loaded.shard_size, loaded.batch_people, loaded.batch_images) == (50, 9, 3)


@pytest.mark.parametrize("field", sorted(PLACEMENT_FIELDS))
def test_placement_does_not_change_the_identity(field):
    other = {
        "out": "elsewhere",
        "executor": "inline",
        "address": "host:1",
        "device": "cpu",
        "weights_dir": "w",
        "quiet": True,
    }
    value = other.get(field, 2)
    assert config().identity() == config(**{field: value}).identity()


@pytest.mark.parametrize(
    "change", [{"pose": "hrnet-w32"}, {"flip": True}, {"detector_threshold": 0.4}, {"inputs": ("a", "b")}]
)
def test_what_decides_rows_changes_the_hash(change):
    assert config().sha256() != config(**change).sha256()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["shard_size=0"], "shard_size"),
        (["colour=red"], "colour"),
        (["batch_people"], "key=value"),
        (["visible_threshold=0.1", "hidden_threshold=0.2"], "hidden_threshold"),
        (["engine=tensorflow"], "engine"),
        (["detector_weights=@x"], r"^--set detector_weights=@x: the value is no YAML"),
        (["inputs=[1"], r"^--set inputs=\[1: the value is no YAML"),
    ],
)
def test_a_bad_setting_is_named(settings, said):
    with pytest.raises(UserError, match=said):
        load_config(None, {"inputs": ("photos",), "out": "run"}, settings)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [\n"])
def test_a_file_that_is_no_configuration_is_named(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml"):
        load_config(str(path), {}, [])


@pytest.mark.parametrize(("key", "read"), [("1", "1"), ("on", "True"), ("null", "None")])
def test_a_field_that_is_no_text_is_named(tmp_path, key, read):
    """YAML reads `on` and `yes` as true."""
    path = tmp_path / "config.yaml"
    path.write_text(f"inputs: [photos]\nout: run\n{key}: 5\n")
    with pytest.raises(UserError, match=rf"config\.yaml: a field is called {read}, which is no text"):
        load_config(str(path), {}, [])


def test_missing_inputs_are_said():
    with pytest.raises(UserError, match=r"^no inputs: name directories"):
        load_config(None, {"out": "run", "detector_threshold": 3}, [])
    with pytest.raises(UserError, match=r"^no inputs: .*; no --out: name a folder"):
        load_config(None, {}, [])
