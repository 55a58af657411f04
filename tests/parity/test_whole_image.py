"""Parity of models for whole images holds, and fails when the input or the people differ."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from annotator.models.openmmlab.configs import load_model_config
from annotator.models.sources import resolve_pose
from annotator.models.whole_image.estimator import WholeImage
from annotator.parity.check import check_all
from annotator.parity.random_weights import responsive
from annotator.parity.verdict import table
from annotator.parity.whole_image import check, compare
from annotator.people import Poses

INPUT = (160, 160)


@pytest.fixture(scope="module")
def source(pictures, tmp_path_factory):
    """RTMO-s on small inputs, its threshold so low that random weights find people."""
    folder = tmp_path_factory.mktemp("rtmo")
    named = resolve_pose("rtmo-s", "random")
    config = load_model_config(named.config_path, "pose")
    for loader in (config.val_dataloader, config.test_dataloader):
        for transform in loader.dataset.pipeline:
            if transform["type"] == "BottomupResize":
                transform["input_size"] = INPUT
    config.model.test_cfg.score_thr = 0.0
    config.dump(str(folder / "rtmo.py"))
    return responsive(replace(named, config_path=str(folder / "rtmo.py")), pictures, folder)


def test_equals_mmpose(source, pictures) -> None:
    [verdict] = check_all([source], pictures)
    assert verdict.ok, table([verdict])
    assert {finding.layer for finding in verdict.findings} == {"preprocessing", "network", "people"}


def people(keypoints: np.ndarray, scores: np.ndarray) -> Poses:
    n = len(keypoints)
    return Poses(np.zeros((n, 4)), np.ones(n), keypoints, scores, np.ones(n))


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        (lambda points, scores: (points, scores), set()),
        (lambda points, scores: (points[::-1], scores[::-1]), set()),
        (lambda points, scores: (points + 0.2, scores), {"keypoints"}),
        (lambda points, scores: (points, scores + 0.001), {"keypoint scores"}),
        (lambda points, scores: (points[:-1], scores[:-1]), {"on one side only"}),
        (lambda points, scores: (points[:0], scores[:0]), {"on one side only"}),
    ],
)
def test_people_that_differ_fail(change, failing: set[str]) -> None:
    rng = np.random.default_rng(0)
    points, scores = rng.uniform(0, 100, (5, 17, 2)).astype(np.float32), rng.random((5, 17))
    theirs = SimpleNamespace(keypoints=points, keypoint_scores=scores)
    findings = compare([people(*change(points, scores))], [theirs], [640], np.full(17, 0.05))
    assert {finding.name for finding in findings if not finding.ok} == failing


def test_people_at_infinity_are_left_out_and_weak_doubles_may_be() -> None:
    points = np.random.default_rng(0).uniform(0, 100, (3, 17, 2)).astype(np.float32)
    scores = np.ones((3, 17))
    lost = np.concatenate([points, points[:1] + 0.5, np.full((1, 17, 2), np.inf, np.float32)])
    theirs = SimpleNamespace(keypoints=lost, keypoint_scores=np.ones((5, 17)))
    assert all(f.ok for f in compare([people(points, scores)], [theirs], [640], np.full(17, 0.05)))


def test_two_people_at_one_place_are_told_apart_by_their_scores() -> None:
    rng = np.random.default_rng(0)
    points = np.repeat(rng.uniform(0, 100, (3, 17, 2)).astype(np.float32), 2, axis=0)
    scores = rng.random((6, 17))
    theirs = SimpleNamespace(keypoints=points, keypoint_scores=scores)
    order = np.array([1, 0, 3, 2, 5, 4])
    same = compare([people(points[order] + 0.001, scores[order])], [theirs], [640], np.full(17, 0.05))
    assert all(finding.ok for finding in same)
    other = np.where(np.arange(6)[:, None] == 2, scores + 0.01, scores)
    [failing] = [
        finding.name
        for finding in compare([people(points, other)], [theirs], [640], np.full(17, 0.05))
        if not finding.ok
    ]
    assert failing == "keypoint scores"


def test_the_network_is_the_same_to_the_bit_and_another_one_is_not(source, pictures) -> None:
    [finding] = [f for f in check(source, pictures).findings if f.layer == "network"]
    assert finding.value == 0
    model = WholeImage(source)
    with torch.no_grad():
        next(model._network._network.parameters()).mul_(1.001)
    [finding] = [f for f in check(source, pictures, model).findings if f.layer == "network"]
    assert not finding.ok


def test_another_normalisation_fails(source, pictures) -> None:
    model = WholeImage(source)
    model._network._mean = model._network._mean + 5
    verdict = check(source, pictures, model)
    assert "raw outputs" in {finding.name for finding in verdict.findings if not finding.ok}
