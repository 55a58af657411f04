"""The parts of the demo models' training that are ours: crops, perturbation, schedule, loss."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

JOB = Path(__file__).resolve().parents[2] / "jobs" / "train_demo"


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch):
    from annotator.models.mmlab import prepare

    prepare()
    monkeypatch.setattr(sys, "path", [str(JOB), *sys.path])

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


def test_joints_stay_on_their_pixels_when_people_are_cut_out(job, tmp_path: Path) -> None:
    """A white dot at each joint of a black picture is found where the crop's annotation says."""
    crop_people = job("crop_people")
    joints = np.array([[60 + 7 * i, 40 + 9 * (i % 6), 2] for i in range(17)], np.float64)
    picture = np.zeros((240, 320, 3), np.uint8)
    for x, y, _ in joints:
        cv2.circle(picture, (int(x), int(y)), 2, (255, 255, 255), -1)
    person = {"bbox": [50, 30, 140, 160], "keypoints": joints.ravel().tolist()}
    cropped, crop = crop_people.crop_person(picture, person)
    assert crop.shape == (256, 192, 3)
    for x, y, _ in np.reshape(cropped["keypoints"], (17, 3)):
        assert crop[round(y), round(x)].min() > 128
    x, y, w, h = cropped["bbox"]
    assert w / 140 == pytest.approx(h / 160, rel=0.01) and x > 0 and x + w < 192 and y > 0 and y + h < 256


def test_parts_are_cut_with_the_people_one_can_learn_from(job, tmp_path: Path) -> None:
    from annotator.synth.dataset import ANNOTATIONS, IMAGES_DIR, write_images

    crop_people = job("crop_people")
    write_images(tmp_path / "data" / "000000", 3, seed=5, size=(320, 240), workers=1)
    count = crop_people.crop_part(tmp_path / "data" / "000000", tmp_path / "crops" / "000000")
    made = json.loads((tmp_path / "crops" / "000000" / ANNOTATIONS).read_text())
    assert count == len(made["annotations"]) == len(made["images"]) > 0
    assert all(a["num_keypoints"] >= 3 for a in made["annotations"])
    assert len(list((tmp_path / "crops" / "000000" / IMAGES_DIR).iterdir())) == count


def test_perturbation_keeps_the_shape_and_is_not_idle(job) -> None:
    perturb = job("perturb")
    np.random.seed(0)
    picture = np.random.randint(0, 256, (64, 48, 3), np.uint8)
    changed = 0
    for _ in range(40):
        out = perturb.Perturb().transform({"img": picture.copy()})["img"]
        assert out.shape == picture.shape and out.dtype == np.uint8 and out.flags.c_contiguous
        changed += bool((out != picture).any())
    assert changed > 30
    still = perturb.Perturb(amount=0.0).transform({"img": picture.copy()})["img"]
    assert (still == picture).all()


def test_the_rate_warms_up_holds_and_comes_down(job) -> None:
    schedule = job("schedule").MinutesSchedule(minutes=10, warmup=100, decay=0.5)
    assert schedule.factor(0, 0) == pytest.approx(0.01)
    assert schedule.factor(99, 60) == 1.0
    assert schedule.factor(5000, 299) == 1.0
    assert schedule.factor(5000, 450) == pytest.approx(0.5)
    assert schedule.factor(5000, 700) == pytest.approx(0.01)
    assert job("schedule").MinutesSchedule(minutes=10, decay=0).factor(5000, 599) == 1.0


def test_the_loss_weighs_joints_more_than_emptiness(job) -> None:
    import torch

    loss = job("losses").PeakWeightedMSELoss(peak=20.0)
    target = torch.zeros(1, 2, 4, 4)
    target[0, :, 1, 1] = 1.0
    known = torch.ones(1, 2)
    missed, invented = torch.zeros_like(target), target.clone()
    invented[0, 0, 3, 3] = 1.0
    assert loss(target, target, known) == 0
    assert loss(missed, target, known) == pytest.approx(2 * 21 / 32)
    assert loss(invented, target, known) == pytest.approx(1 / 32)
    assert loss(missed, target, torch.tensor([[1.0, 0.0]])) == pytest.approx(21 / 32)
