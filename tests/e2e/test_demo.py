"""`annotator demo`, for real: made, annotated through Ray, verified, measured, written and shown."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from annotator.store.reader import Run

PICTURES, FRAMES = 4, 6


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> list[str]:
    """The demo in miniature, with the models that ship."""
    out = tmp_path_factory.mktemp("demo") / "made here"
    return ["--out", str(out), "--pictures", str(PICTURES), "--seconds", str(FRAMES / 12)]


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "annotator.cli", "demo", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)


@pytest.fixture(scope="module")
def done(options) -> tuple[Path, str]:
    """The folder of a demo and what it said."""
    finished = demo(*options)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return Path(options[1]), finished.stdout


def test_every_step_has_a_line_with_its_outcome(done):
    _, said = done
    lines = {
        line.split()[0]: line for line in said.splitlines() if line.startswith("  ") and line.endswith(" s")
    }
    assert list(lines) == ["pictures", "film", "annotate", "verify", "evaluate", "export", "report"]
    assert f"{PICTURES} made" in lines["pictures"]
    assert f"{FRAMES} frames" in lines["film"]
    assert f"{PICTURES + FRAMES} images" in lines["annotate"]
    assert "by Ray" in lines["annotate"]
    assert f"each of the {PICTURES + FRAMES} images has exactly one row" in lines["verify"]


def test_pictures_and_frames_are_measured_against_their_truth(done):
    from annotator.evaluate.evaluation import evaluate

    out, said = done
    found = evaluate(Run(out / "run"), out / "truth.json")
    assert found["images"] == PICTURES + FRAMES
    assert found["matching"]["unmatched"] == found["matching"]["gt_images_not_in_run"] == 0
    truth = json.loads((out / "truth.json").read_text())
    assert found["gt_people"] == len(truth["annotations"])
    assert f"keypoint AP {found['keypoints']['AP']:.3f}" in said
    # Boxes of the right people in the right frames: a wrong truth gives next to nothing.
    assert found["bbox"]["AP50"] > 0.3


def test_what_it_says_to_look_at_is_there(done):
    out, said = done
    coco = json.loads((out / "annotations.json").read_text())
    assert len(coco["images"]) == PICTURES + FRAMES
    assert len(coco["videos"]) == 1
    html = (out / "run" / "report.html").read_text()
    assert html.count("data:image/jpeg;base64,") > 8
    assert "Not shown" not in html
    for path in ("run/report.html", "annotations.json", "run/instances"):
        assert str(out / path) in said
    assert "run PHOTOS --out RUN --pose vitpose-h" in said


def test_again_it_finds_everything_done(done, options):
    again = demo(*options)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "finished before" in again.stdout


def test_programs_are_told_where_everything_is(done, options):
    out, said = done
    again = demo(*options, "--json")
    assert again.returncode == 0, again.stdout + again.stderr
    told = json.loads(again.stdout)
    names = {"run": "run", "truth": "truth.json", "annotations": "annotations.json"}
    names |= {"report": "run/report.html"}
    assert {name: told[name] for name in names} == {name: str(out / path) for name, path in names.items()}
    assert f"keypoint AP {told['evaluation']['keypoints']['AP']:.3f}" in said
    assert "finished before" in again.stderr
