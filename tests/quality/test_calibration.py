"""Calibration on joints whose chance to be right is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from annotator.errors import UserError
from annotator.quality.calibration import Calibration, read_calibration
from annotator.quality.fit import (
    JointSample,
    auroc,
    cross_validated,
    fit,
    reliability,
    sample_of,
)
from annotator.quality.labelled import Labelled
from annotator.skeletons import COCO_17

NOSE, LEFT_HIP, RIGHT_HIP = 0, 11, 12


def sample(joints: int = 8000, seed: int = 0) -> JointSample:
    """Scores that promise too little of noses (right with sqrt(s)) and too much of all others (with s^2)."""
    rng = np.random.default_rng(seed)
    scores, which = rng.uniform(0, 1, joints), rng.integers(0, 17, joints)
    chance = np.where(which == NOSE, np.sqrt(scores), scores**2)
    return JointSample(
        scores=scores,
        right=rng.uniform(size=joints) < chance,
        joints=which,
        images=rng.integers(0, 100, joints),
    )


def test_reliability_of_known_confidence() -> None:
    right = np.array([True] * 6 + [False] * 4)
    found = reliability(np.full(10, 0.8), right)
    assert found.ece == pytest.approx(0.2) and found.auroc == 0.5
    assert found.count.sum() == 10 and found.right[8] == pytest.approx(0.6)
    # Scores may exceed 1, and count as certainty.
    assert reliability(np.array([1.4, -0.2]), np.array([True, False])).ece == 0


def test_auroc_counts_ties_by_half() -> None:
    assert auroc(np.array([3, 2, 1, 0]), np.array([True, True, False, False])) == 1
    assert auroc(np.array([1, 1, 0, 2]), np.array([True, False, False, True])) == pytest.approx(3.5 / 4)
    assert np.isnan(auroc(np.array([1, 2]), np.array([True, True])))


def test_probabilities_hold_on_images_that_were_not_seen() -> None:
    joints = sample()
    raw = reliability(joints.scores, joints.right)
    probs = cross_validated(joints, COCO_17)
    assert raw.ece > 0.1
    assert reliability(probs, joints.right).ece < 0.03
    # Knowing the type of joint tells right from wrong better than the score alone.
    assert auroc(probs, joints.right) > raw.auroc


def test_held_out_images_play_no_part_in_their_probabilities() -> None:
    joints = sample(2000)
    before = cross_validated(joints, COCO_17)
    fold = np.isin(joints.images, _fold_of(joints, 0))
    flipped = replace(joints, right=np.where(fold, ~joints.right, joints.right))
    after = cross_validated(flipped, COCO_17)
    assert (before[fold] == after[fold]).all() and (before[~fold] != after[~fold]).any()


def _fold_of(joints: JointSample, number: int) -> np.ndarray:
    from sklearn.model_selection import GroupKFold

    splits = GroupKFold(5, shuffle=True, random_state=0).split(joints.scores, joints.right, joints.images)
    return np.unique(joints.images[[held for _, held in splits][number]])


def test_curves_ascend_and_left_is_as_right() -> None:
    curves = fit(sample(), COCO_17)
    assert len(curves) == 17
    for scores, probs in curves:
        assert (np.diff(scores) > 0).all() and (np.diff(probs) >= 0).all()
        assert probs[0] >= 0 and probs[-1] <= 1
    assert curves[LEFT_HIP] is curves[RIGHT_HIP]
    at = 0.5
    assert np.interp(at, *curves[NOSE]) == pytest.approx(np.sqrt(at), abs=0.12)
    assert np.interp(at, *curves[LEFT_HIP]) == pytest.approx(at**2, abs=0.08)


def test_a_type_with_few_labels_keeps_to_the_curve_of_all() -> None:
    joints = sample()
    few = (joints.joints != NOSE) | (np.cumsum(joints.joints == NOSE) <= 5)
    curves = fit(joints.of(few), COCO_17)
    assert np.interp(0.5, *curves[NOSE]) == pytest.approx(np.interp(0.5, *curves[LEFT_HIP]), abs=0.08)


def test_too_little_is_refused() -> None:
    with pytest.raises(UserError, match="at least"):
        fit(sample(100), COCO_17)
    joints = sample(1000)
    alone = replace(joints, images=joints.images % 3)
    with pytest.raises(UserError, match="fewer than 5 images"):
        cross_validated(alone, COCO_17)


def test_images_of_two_runs_are_different_images() -> None:
    both = JointSample.together([sample(500), sample(500, seed=1)])
    assert len(both) == 1000 and not set(both.images[:500]) & set(both.images[500:])


def test_only_labelled_joints_of_matched_people_count() -> None:
    visibility = np.zeros((2, 17), np.int8)
    visibility[1, 3:5] = 1, 2
    right = np.zeros((2, 17), bool)
    right[1, 4] = True
    people = Labelled(
        np.array([7, 8]), np.array([False, True]), np.ones(2, bool), np.array([0, 0.5]), visibility, right, 0
    )
    scores = np.arange(34, dtype=np.float32).reshape(2, 17) / 34
    found = sample_of(people, scores)
    assert found.joints.tolist() == [3, 4] and found.images.tolist() == [8, 8]
    assert found.right.tolist() == [False, True] and found.scores == pytest.approx([20 / 34, 21 / 34])


def calibration() -> Calibration:
    curves = tuple((np.array([0.0, 0.5, 1.0]), np.array([0.1, 0.6, 0.6 + 0.02 * k])) for k in range(17))
    return Calibration(COCO_17.keypoints, curves, {"name": "m", "sha256": "ab" * 32}, {"joints": 1})


def test_a_file_gives_back_what_was_written(tmp_path) -> None:
    path = tmp_path / "c.json"
    path.write_text(calibration().to_json())
    read = read_calibration(path)
    scores = np.random.default_rng(0).uniform(-0.2, 1.3, (5, 17)).astype(np.float32)
    found = read(scores)
    assert (found == calibration()(scores)).all() and found.dtype == np.float32
    assert found.min() >= 0.1 and found[scores > 1][0] == pytest.approx(
        0.6 + 0.02 * np.argwhere(scores > 1)[0][1]
    )


@pytest.mark.parametrize(
    "change",
    [
        {"version": 9},
        {"format": "x"},
        {"curves": {}},
        {"curves": {name: {"scores": [0, 1], "probs": [0.9, 0.1]} for name in COCO_17.keypoints}},
        {"curves": {name: {"scores": [0, 1], "probs": [0.9, 1.1]} for name in COCO_17.keypoints}},
        {"curves": {name: {"scores": [0], "probs": [0.9, 1]} for name in COCO_17.keypoints}},
    ],
)
def test_what_is_no_calibration_is_refused(tmp_path, change: dict) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({**json.loads(calibration().to_json()), **change}))
    with pytest.raises(UserError, match="is not a calibration"):
        read_calibration(path)
    with pytest.raises(UserError, match="cannot read"):
        read_calibration(tmp_path / "absent.json")


def test_a_calibration_of_another_model_is_refused() -> None:
    calibration().check(COCO_17, "ab" * 32)
    with pytest.raises(UserError, match="other weights"):
        calibration().check(COCO_17, "cd" * 32)
    from annotator.models.skeleton import subset

    with pytest.raises(UserError, match="this model has 2"):
        calibration().check(subset(COCO_17, [0, 1]), "ab" * 32)
