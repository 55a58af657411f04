"""The models that ship: small, found by name, and as good as their card says on people they have not seen."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from annotator.models import demo
from annotator.models.detector import Detector
from annotator.models.sources import resolve_detector, resolve_pose
from annotator.models.topdown import TopDown
from annotator.skeletons import COCO_17

JOB = Path(__file__).resolve().parents[2] / "jobs" / "train_demo"
SEED = 424_242  # no training or test picture has it
PICTURES = 60


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(resolve_detector("demo-detector"), score_threshold=0.05)


@pytest.fixture(scope="module")
def pose() -> TopDown:
    return TopDown(resolve_pose("demo-pose"))


@pytest.mark.parametrize("model", [demo.DETECTOR, demo.POSE], ids=lambda model: model.name)
def test_the_named_weights_are_the_files_of_the_package(model: demo.DemoModel) -> None:
    source = (resolve_pose if model is demo.POSE else resolve_detector)(model.name)
    assert source.name == model.name
    assert source.sha256 == model.sha256 == hashlib.sha256(model.weights.read_bytes()).hexdigest()
    assert Path(source.config_path) == model.config


def test_both_together_are_small_enough_to_ship() -> None:
    assert sum(model.weights.stat().st_size for model in (demo.DETECTOR, demo.POSE)) <= 12_000_000


def test_weights_hold_no_trace_of_training() -> None:
    from annotator.models.weights.loading import load_state

    for model in (demo.DETECTOR, demo.POSE):
        for name, tensor in load_state(model.weights).items():
            assert tensor.isfinite().all(), name
            assert not any(word in name for word in ("ema", "optimizer", "num_batches_tracked")), name


def test_pose_gives_coco_keypoints_with_scores_that_the_visibility_policy_understands(pose: TopDown) -> None:
    from annotator.synth import generate_image

    assert pose.skeleton.keypoints == COCO_17.keypoints
    pixels, annotations = generate_image(SEED, 10_000, (320, 240), people=2)
    boxes = np.array([a["bbox"] for a in annotations], np.float64)
    boxes[:, 2:] += boxes[:, :2]
    found = pose.estimate([pixels], [boxes])[0]
    assert found.keypoints.shape == (len(boxes), 17, 2)
    assert np.isfinite(found.keypoints).all()
    assert 0.3 < found.keypoint_scores.max() < 1.5


def test_average_precision_on_people_never_seen(
    detector: Detector, pose: TopDown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Floors at nine tenths of 0.435, 0.434 and 0.419: the card's figures are of more and larger pictures."""
    from annotator.synth.dataset import write_images

    write_images(tmp_path, PICTURES, seed=SEED, size=(320, 240), spread=map)
    monkeypatch.setattr(sys, "path", [str(JOB), *sys.path])
    from evaluate import judge, read_pictures

    figures = judge(read_pictures(tmp_path), pose, detector)
    assert figures["boxes"]["AP"] > 0.39
    assert figures["keypoints, true boxes"]["AP"] > 0.39
    assert figures["keypoints"]["AP"] > 0.375
