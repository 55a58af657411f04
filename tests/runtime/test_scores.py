"""Models whose scores are never low are named when a run begins, with what is not judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from annotator.config import RunConfig
from annotator.models.openmmlab.configs import load_model_config
from annotator.models.sources import resolve_pose
from annotator.people import Poses
from annotator.pose.decoding import make_decoder
from annotator.quality.calibration import Calibration
from annotator.quality.signals import measure
from annotator.runtime import launch
from annotator.runtime.job import Job
from annotator.runtime.progress import ProgressBar
from annotator.runtime.rows import visibility_policy
from annotator.runtime.scores import least_score, warnings
from annotator.skeletons import COCO_17
from annotator.sources.plan import build_plan
from annotator.store.schema import ModelRecord, Provenance
from annotator.store.visibility import EVIDENCE, Evidence

MSPN, DEEPPOSE = "td-hm_mspn50_8xb32-210e_coco-256x192", "deeppose"


def job(pose: str, second: str | None = None, calibration: Calibration | None = None, **settings: Any) -> Job:
    config = RunConfig(inputs=("x",), out="y", pose=pose, second_pose=second, **settings)
    provenance = Provenance(ModelRecord(pose), None, None, "0" * 64, "1" * 64)
    other = None if second is None else resolve_pose(second, "random")
    source = resolve_pose(pose, "random")
    return Job(config, "y", source, None, provenance, second=other, calibration=calibration)


@pytest.mark.parametrize(
    ("pose", "least"),
    [
        (MSPN, 0.5),
        (DEEPPOSE, 1),
        ("integral", 1),
        ("deeppose-rle", 0),
        ("rtmpose-t", 0),
        ("vitpose-s", 0),
        ("rtmo-s", 0),
        ("demo-pose", 0),
    ],
)
def test_what_a_model_scores_at_least(pose: str, least: float) -> None:
    head = load_model_config(resolve_pose(pose, "random").config_path, "pose").model["head"]
    assert least_score(head) == least


def noise(pose: str) -> Poses:
    """Four people by a network that saw nothing, in boxes that are hardly any."""
    head = load_model_config(resolve_pose(pose, "random").config_path, "pose").model["head"]
    rng = torch.Generator().manual_seed(0)
    outputs = (
        torch.rand(4, 17, 64, 48, generator=rng) if pose == MSPN else torch.rand(4, 17, 2, generator=rng)
    )
    points, scores = make_decoder(head["decoder"], head)(outputs)
    boxes = np.tile([[0, 0, 192, 256.0]], (4, 1))
    points = np.clip(points.numpy(), 0, 190)
    return Poses(boxes, np.full(4, 0.1, np.float32), points, scores.numpy(), scores.mean(1).numpy())


@pytest.mark.parametrize("pose", [MSPN, DEEPPOSE])
def test_noise_is_judged_with_the_settings_that_the_warning_names_and_not_without(pose: str) -> None:
    poses = noise(pose)
    plain = job(pose)
    (told,) = warnings(plain)
    assert told.startswith(f"warning: {plain.pose.name} gives no joint a score below")
    assert "v = 2" in told and "phantom" in told
    assert (visibility_policy(plain.config, None)(poses, 192, 256) == 2).all()
    assert not measure(poses, COCO_17).likely_phantom.any()
    named = [word.split("=") for word in told.split() if "_threshold=" in word]
    settings = {name: float(value) for name, value in named}
    mended = job(pose, None, None, **settings)
    assert measure(poses, COCO_17, phantom_below=settings["phantom_threshold"]).likely_phantom.all()
    if pose == MSPN:
        assert (visibility_policy(mended.config, None)(poses, 192, 256) == 0).all()
        assert warnings(mended) == []
    else:
        assert "phantom;" not in warnings(mended)[0] and "`annotator calibrate`" in told


def test_it_is_said_when_a_run_begins(tmp_path, monkeypatch) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    said: list[str] = []
    listener = ProgressBar(quiet=True)
    monkeypatch.setattr(listener, "stage", said.append)
    monkeypatch.setattr(launch, "carry_out", lambda *arguments: None)
    plan = build_plan([str(tmp_path / "a.png")], shard_size=1)
    made = job(DEEPPOSE)
    config = made.config.model_copy(update={"out": str(tmp_path / "run")})
    launch.begin(replace(made, config=config), plan, "one picture", listener)
    assert said[1:] == warnings(made) and said[0].startswith("one picture")


def test_nothing_is_said_of_what_is_judged() -> None:
    assert warnings(job("rtmpose-t")) == []
    weights = np.zeros((17, len(EVIDENCE) + 1, 3))
    policy = Evidence(COCO_17, np.zeros(len(EVIDENCE)), np.ones(len(EVIDENCE)), weights, {})
    curve = (np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    fitted = Calibration(COCO_17.keypoints, (curve,) * 17, {"name": "m", "sha256": "ab" * 32}, {}, policy)
    (told,) = warnings(job(DEEPPOSE, calibration=fitted))
    assert "v = 2" not in told and "nobody is taken for a phantom" in told
    rewritten = job(DEEPPOSE)
    assert warnings(replace(rewritten, pose=replace(rewritten.pose, config_path=""))) == []


def test_of_a_second_model_it_is_said_where_its_poses_stay() -> None:
    assert warnings(job("rtmpose-t", DEEPPOSE)) == []
    (told,) = warnings(job("rtmpose-t", DEEPPOSE, cascade=True))
    assert "score below 1" in told


@pytest.mark.parametrize(("pose", "enough"), [(MSPN, 1.1), (DEEPPOSE, 2.0)])
def test_a_cascade_whose_first_model_is_sure_of_everybody_is_named(pose: str, enough: float) -> None:
    def of_the_cascade(**settings: Any) -> list[str]:
        return [line for line in warnings(job(pose, "rtmpose-t", **settings)) if "cascade_pose_score" in line]

    (told,) = of_the_cascade(cascade=True, flip=False)
    assert "by cascade_pose_score=0.6 the cascade is sure of nearly everybody" in told
    assert of_the_cascade(cascade=True, flip=False, cascade_pose_score=enough) == []
    # The two poses of the flip test, which these configs have on, tell as well.
    assert of_the_cascade(cascade=True) == of_the_cascade(cascade=True, flip=True) == []
    assert of_the_cascade() == []
