"""Parity holds for every codec, and fails when any layer is deliberately broken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from annotator.cli import app
from annotator.cli.parity import parity
from annotator.models.topdown import TopDown
from annotator.parity import topdown
from annotator.parity.check import REPRESENTATIVE, check_all, sources
from annotator.parity.random_weights import responsive
from annotator.parity.topdown import displacement, made_outputs
from annotator.parity.verdict import Finding, Verdict, table
from annotator.pose import crops, flip
from annotator.pose.decoding import Decoder
from annotator.pose.flip import FlipTest
from tests.parity.conftest import MODELS


def failed(verdict: Verdict) -> set[str]:
    """Names of the comparisons that failed."""
    return {finding.name for finding in verdict.findings if not finding.ok}


@pytest.mark.parametrize("name", MODELS)
def test_every_codec_equals_mmpose(small_model, pictures, name: str) -> None:
    [verdict] = check_all([small_model(name)], pictures)
    assert verdict.ok, table([verdict])
    assert verdict.compared == 4 and verdict.weights == "random"
    assert {finding.layer for finding in verdict.findings} == {"preprocessing", "network", "decoding"}
    assert len(verdict.findings) == 14


def test_real_weights_on_real_photos(assets, photos) -> None:
    """All three layers on every person of the photos, at the limits that are promised."""
    [source] = sources([str(assets.pose_config)], str(assets.pose_weights))
    [verdict] = check_all([source], photos)
    assert verdict.ok, table([verdict])
    assert verdict.compared == 68 and verdict.weights == assets.pose_weights.name


@pytest.fixture(scope="module")
def source(small_model, pictures, tmp_path_factory):
    return responsive(small_model("msra"), pictures, tmp_path_factory.mktemp("weights"))


def test_random_networks_respond(source, small_model) -> None:
    """Without batch statistics from pictures, comparing the network would prove next to nothing."""
    batch = torch.randint(0, 256, (2, 128, 96, 3), dtype=torch.uint8)
    outputs = TopDown(source).engine(batch)
    assert isinstance(outputs, torch.Tensor)
    assert (outputs[0] - outputs[1]).abs().max() > 0.1 * outputs.abs().max() > 1e-4


def test_shifted_crops_fail(source, pictures, monkeypatch) -> None:
    intact = crops.crop_batch_cv2

    def shifted(images, index, matrices, size, **options):
        matrices = matrices.copy()
        matrices[:, 0, 2] += 0.5
        return intact(images, index, matrices, size, **options)

    monkeypatch.setattr(crops, "crop_batch_cv2", shifted)
    verdict = topdown.check(source, pictures)
    assert "shift of crops by OpenCV" in failed(verdict) and "shift of crops by torch" not in failed(verdict)
    [shift] = [f.value for f in verdict.findings if f.name == "shift of crops by OpenCV"]
    assert shift == pytest.approx(0.5, abs=0.25)


def test_another_region_fails(source, pictures) -> None:
    model = TopDown(source)
    model._padding = 1.3
    assert failed(topdown.check(source, pictures, model)) >= {"crops by OpenCV", "way back to the image"}


def test_swapped_channels_fail(source, pictures) -> None:
    model = TopDown(source)
    normalise = model.engine._normalise
    model.engine._normalise = lambda crops, mirror: normalise(crops.flip(-1), mirror)
    assert failed(topdown.check(source, pictures, model)) == {"raw outputs"}


def test_other_weights_fail(source, small_model, pictures, tmp_path) -> None:
    model = TopDown(source)
    with torch.no_grad():
        next(model.engine._network.network.parameters()).mul_(1.01)
    assert "raw outputs" in failed(topdown.check(source, pictures, model))


def test_a_decoder_that_is_off_fails(source, pictures) -> None:
    model = TopDown(source)
    intact = model._decode
    model._decode = Decoder(intact.kind, lambda maps: (intact.decode(maps)[0] + 0.05, intact.decode(maps)[1]))
    names = failed(topdown.check(source, pictures, model))
    assert names == {
        f"keypoints, {what}" for what in ("network", "network, flip", "made-up", "made-up, flip")
    }


def test_scores_that_are_off_fail(source, pictures) -> None:
    model = TopDown(source)
    intact = model._decode
    model._decode = Decoder(intact.kind, lambda maps: (intact.decode(maps)[0], intact.decode(maps)[1] + 1e-4))
    assert all(name.startswith("scores") for name in failed(topdown.check(source, pictures, model)))
    assert len(failed(topdown.check(source, pictures, model))) == 4


@pytest.mark.parametrize("change", [{"shift_heatmap": False}, {"indices": tuple(range(17))}])
def test_another_flip_test_fails(source, pictures, change) -> None:
    model = TopDown(source)
    assert isinstance(model._flip_test, FlipTest)
    model._flip_test = replace(model._flip_test, **change)
    names = failed(topdown.check(source, pictures, model))
    assert names and all(name.endswith("flip") for name in names)


def test_displacement_of_textures() -> None:
    rng = np.random.default_rng(0)
    import cv2

    texture = cv2.resize(
        rng.integers(0, 256, (40, 40, 3), dtype=np.uint8), (240, 240), interpolation=cv2.INTER_CUBIC
    )
    a, b = texture[20:148, 20:116], texture[20:148, 22:118]
    assert displacement(a, a) == 0
    assert displacement(np.ascontiguousarray(a), np.ascontiguousarray(b)) == pytest.approx(2, abs=1)


def test_made_up_outputs_have_the_form_of_the_real_ones() -> None:
    like = (torch.zeros(2, 17, 4), [torch.zeros(2, 17, 32, 24)], torch.zeros(2, 17, 192))
    coordinates, [maps], distributions = made_outputs(like, 3, 0)
    assert (
        coordinates.shape == (6, 17, 4)
        and maps.shape == (6, 17, 32, 24)
        and distributions.shape == (6, 17, 192)
    )
    peaks = maps.amax(dim=(2, 3))
    assert peaks.max() > 0.9 and peaks.min() < 0.3


def test_a_difference_that_is_not_finite_is_no_agreement() -> None:
    for value in (float("nan"), float("inf")):
        finding = Finding("network", "raw outputs", value, 1e-4, "")
        assert not finding.ok and finding.to_dict()["value"] is None
    assert not Verdict("nothing compared").ok


def test_a_model_that_cannot_be_compared_fails_alone(small_model, pictures) -> None:
    broken = replace(small_model("rle"), weights_path="/nowhere.pth")
    first, second = check_all([broken, small_model("rle")], pictures)
    assert not first.ok and first.error and "nowhere" in first.error and second.ok
    assert "1 of 2 models equal MMPose, 1 do not" in table([first, second])


def test_the_command(small_model, tmp_path: Path, capsys, monkeypatch) -> None:
    config = small_model("simcc").config_path
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8))
    (tmp_path / "note.txt").write_text("no picture")
    for broken, code in ((False, 0), (True, 1)):
        if broken:
            monkeypatch.setattr(flip.FlipTest, "back", lambda self, mirrored: mirrored)
        with pytest.raises(SystemExit) as left:
            parity([config], images=str(tmp_path), people=2, as_json=True)
        assert left.value.code == code
        report = json.loads(capsys.readouterr().out)
        assert report["ok"] is not broken and report["models"][0]["codec"] == "SimCCLabel"
    assert app is not None


def test_names_lead_to_models_without_downloads(tmp_path) -> None:
    found = sources([], None, str(tmp_path))
    assert tuple(source.name for source in found) == REPRESENTATIVE
    assert all(source.random_weights for source in found)
