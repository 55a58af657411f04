"""A calibration from runs and their ground truth: who counts, and what cannot be learned from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotator.errors import UserError
from annotator.quality.calibrate import calibrate
from annotator.quality.signals import measured
from annotator.skeletons import COCO_17
from tests.conftest import MadeRun, Picture, poses_of

BOXES = [[0, 10, 100, 200], [300, 10, 100, 200]]


def pictures(posed_by: list[str] | None = None, count: int = 24) -> list[Picture]:
    """Two people an image; of the second one no joint is where the truth has it."""
    people = poses_of(BOXES, scores=[0.9, 0.8])
    keypoints = people.keypoints.copy()
    keypoints[1, ::2, 0] += 60
    people = measured(replace(people, keypoints=keypoints), COCO_17, (192, 256))
    people = replace(people, posed_by=None if posed_by is None else np.array(posed_by))
    return [Picture(f"{i}.jpg", people) for i in range(count)]


def truth(path: Path, v: list[int], count: int = 24) -> Path:
    """Ground truth of `pictures`, v of joints by turns."""
    joints = np.concatenate([poses_of(BOXES).keypoints, np.resize(v, (2, 17))[..., None]], axis=-1).reshape(
        2, -1
    )
    annotations = [
        {
            "id": 2 * i + n + 1, "image_id": i + 1, "category_id": 1, "bbox": BOXES[n], "area": 20000,
            "iscrowd": 0, "keypoints": joints[n].tolist(), "num_keypoints": 17,
        }
        for i in range(count) for n in range(2)
    ]  # fmt: skip
    images = [{"id": i + 1, "file_name": f"{i}.jpg", "width": 640, "height": 480} for i in range(count)]
    category = {"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints)}
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return path


def test_people_of_a_cascades_second_model_are_left_out(make_run, tmp_path) -> None:
    gt = truth(tmp_path / "gt.json", [0, 1, 2])
    run = make_run(pictures(["test-pose", "other"]), 4).commit().open()
    found = calibrate([run], [gt])
    about = found.calibration.about
    assert (about["people"], about["joints"], about["right"]) == (24, 24 * 11, 1)
    assert about["visibility"]["joints"] == 24 * 17
    everybody = MadeRun(tmp_path / "whole", pictures(), 4).commit().open()
    assert calibrate([everybody], [gt]).calibration.about["people"] == 48


def test_v_that_is_the_same_everywhere_cannot_be_fitted(make_run, tmp_path) -> None:
    run = make_run(pictures(), 4).commit().open()
    gt = truth(tmp_path / "gt.json", [2])
    with pytest.raises(UserError, match=r"v is the same for all 816 joints .*--no-visibility"):
        calibrate([run], [gt])
    assert calibrate([run], [gt], truth_of_visibility=False).calibration.visibility is None


def test_a_run_in_which_nobody_was_found_adds_nothing(make_run, tmp_path) -> None:
    gt = truth(tmp_path / "gt.json", [1, 2])
    run = make_run(pictures(), 4).commit().open()
    nobody = MadeRun(tmp_path / "nobody", [Picture(f"{i}.jpg") for i in range(24)], 4).commit().open()
    about = calibrate([run, nobody], [gt, gt]).calibration.about
    assert about == dict(calibrate([run], [gt]).calibration.about) | {
        "runs": [run.place, nobody.place],
        "ground_truth": ["gt.json"] * 2,
        "visibility": about["visibility"],
    }
    with pytest.raises(UserError, match="0 labelled joints are too few"):
        calibrate([nobody], [gt])
