"""What is hidden, outside and visible: geometry with known answers, and a policy that learns a rule."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from annotator.config import RunConfig
from annotator.errors import UserError
from annotator.people import Poses
from annotator.pose.occlusion import border_distance, covered, truncation
from annotator.quality.calibration import Calibration, read_calibration
from annotator.quality.signals import measured
from annotator.quality.visibility import (
    VisibilitySample,
    cross_validated_visibility,
    fit_visibility,
    told_apart,
)
from annotator.runtime.rows import visibility_policy
from annotator.skeletons import COCO_17
from annotator.store.schema import CONTRACT, metadata
from annotator.store.visibility import EVIDENCE, Evidence, ScoreThresholds, evidence

SHA = "ab" * 32


def test_a_joint_behind_the_limb_of_a_nearer_person_is_covered() -> None:
    edges = [(0, 1)]
    # The first person's joints; the second one's limb is the line x = 100, and reaches lower down.
    keypoints = np.array([[[100, 50], [108, 60], [300, 60]], [[100, 0], [100, 200], [100, 200]]], float)
    bboxes = np.array([[80, 40, 240, 60], [90, 0, 20, 200]], float)
    found = covered(keypoints, bboxes, edges, np.ones(2, bool))
    # Half a limb is 0.04 of 200 px: its surface is 8 px from the line.
    assert found[0] == pytest.approx([1, np.exp(-0.5), 0], abs=1e-6)
    assert (found[1] == 0).all()
    assert (covered(keypoints, bboxes, edges, np.array([True, False])) == 0).all()
    higher = bboxes - np.array([[0, 0, 0, 0], [0, 150, 0, 0]])
    assert covered(keypoints, higher, edges, np.ones(2, bool)).max() < 1e-6


def test_a_crowd_is_covered_block_by_block() -> None:
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(0, 200, (60, 17, 2))
    bboxes = np.concatenate([np.zeros((60, 2)), rng.uniform(100, 200, (60, 2))], axis=1)
    found = covered(keypoints, bboxes, COCO_17.edges, np.ones(60, bool))
    for person in (0, 31):
        nearer = bboxes[:, 3] > bboxes[person, 3]
        nearer[person] = True
        alone = covered(keypoints[nearer], bboxes[nearer], COCO_17.edges, np.ones(int(nearer.sum()), bool))
        assert found[person] == pytest.approx(alone[nearer[: person + 1].sum() - 1])


def test_distance_from_the_border_is_in_heights_of_the_box() -> None:
    keypoints = np.array([[[49.5, 30], [-10.5, 50], [100, 99.0]]])
    found = border_distance(keypoints, np.array([50.0]), 200, 100)
    assert found[0] == pytest.approx([30.5 / 50, -10 / 50, 0.5 / 50])


def test_where_the_image_cuts_a_person_off() -> None:
    bboxes = np.array([[0, 10, 50, 50], [100, 49, 100, 50.5], [50, 20, 50, 50]], float)
    assert truncation(bboxes, 200, 100).tolist() == [
        [True, False, False, False], [False, False, True, True], [False] * 4,
    ]  # fmt: skip


def crowd(people, n: int = 3) -> Poses:
    return people([[20 + 150 * i, 30, 100, 300] for i in range(n)], scores=np.linspace(0.9, 0.5, n))


def test_evidence_that_a_model_does_not_give_is_nan(people) -> None:
    values = evidence(crowd(people), COCO_17, 640, 480)
    assert values.shape == (3, 17, len(EVIDENCE))
    missing = [name for i, name in enumerate(EVIDENCE) if np.isnan(values[..., i]).all()]
    assert missing == ["entropy", "flip_agreement"] and np.isfinite(values).sum() == 3 * 17 * (
        len(EVIDENCE) - 2
    )
    some = measured(replace(crowd(people), halves=np.zeros((3, 2, 17, 2))), COCO_17, (192, 256))
    assert (evidence(some, COCO_17, 640, 480)[..., EVIDENCE.index("flip_agreement")] == 1).all()


def planted(n: int = 400, seed: int = 0) -> VisibilitySample:
    """Hidden is who is covered, outside who is at a cut side; scores say nothing."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 1, (n, 17, len(EVIDENCE)))
    for name in ("covered", "at_cut_side"):
        values[..., EVIDENCE.index(name)] = rng.uniform(size=(n, 17)) < 0.3
    values[..., EVIDENCE.index("entropy")] = np.nan
    truth = np.where(values[..., EVIDENCE.index("covered")] > 0, 1, 2)
    truth = np.where(values[..., EVIDENCE.index("at_cut_side")] > 0, 0, truth).astype(np.int8)
    baseline = ScoreThresholds()(
        Poses(np.zeros((n, 4)), np.ones(n), np.ones((n, 17, 2)), values[..., 0], np.ones(n)), 10, 10
    )
    return VisibilitySample(
        values=values,
        inside=np.ones((n, 17), bool),
        truth=truth,
        baseline=baseline,
        images=np.arange(n) // 4,
    )


def test_a_planted_rule_is_found_on_images_that_were_not_seen() -> None:
    sample = planted()
    v = cross_validated_visibility(sample, COCO_17)
    found, plain = told_apart(v, sample.truth), told_apart(sample.baseline, sample.truth)
    for kind in ("outside or not labelled", "hidden"):
        assert found[kind].precision > 0.95 and found[kind].recall > 0.95
        assert min(plain[kind].precision, plain[kind].recall) < 0.4


@pytest.mark.parametrize("kinds", [(0, 2), (1, 2), (0, 1)])
def test_a_truth_of_two_kinds_of_v_is_learned_too(kinds: tuple[int, int]) -> None:
    sample = planted()
    truth = np.where(sample.truth == 2, kinds[1], kinds[0]).astype(np.int8)
    sample = replace(sample, truth=truth)
    assert (fit_visibility(sample, COCO_17, {}).decide(sample.values) == truth).mean() > 0.95
    assert (cross_validated_visibility(sample, COCO_17) == truth).mean() > 0.95


def test_a_kind_in_one_image_alone_does_not_spoil_the_fold_without_it() -> None:
    sample = planted()
    truth = np.where(sample.truth == 1, 2, sample.truth).astype(np.int8)
    truth[0, 0] = 1
    v = cross_validated_visibility(replace(sample, truth=truth), COCO_17)
    assert (v == truth).mean() > 0.95


def test_of_a_truth_of_one_kind_nothing_else_is_decided() -> None:
    sample = planted(40)
    sample = replace(sample, truth=np.full_like(sample.truth, 2))
    assert (fit_visibility(sample, COCO_17, {}).decide(sample.values) == 2).all()


def test_counts_of_kinds() -> None:
    truth = np.array([[0, 1, 1, 2, 2, 2]])
    found = told_apart(np.array([[0, 1, 2, 2, 2, 1]]), truth)
    assert found["hidden"].precision == 0.5 and found["hidden"].recall == 0.5 and found["hidden"].joints == 2
    assert found["visible"].precision == found["visible"].recall == 2 / 3
    nobody = told_apart(np.array([[2]]), np.array([[2]]))["hidden"]
    assert (nobody.precision, nobody.recall, nobody.joints) == (0, 0, 0)


def policy() -> Evidence:
    return fit_visibility(planted(100), COCO_17, {"fitted_on": ["x.json"], "joints": 1700})


def test_outside_the_image_nothing_is_labelled(people) -> None:
    poses = people([[20, 30, 100, 300]])
    poses.keypoints[0, 3] = -5, 50
    v = policy()(poses, 640, 480)
    assert v.dtype == np.int8 and v[0, 3] == 0 and set(v.ravel().tolist()) <= {0, 1, 2}


def written(tmp_path, visibility: Evidence | None):
    curves = tuple((np.array([0.0, 1.0]), np.array([0.0, 1.0])) for _ in range(17))
    made = Calibration(COCO_17.keypoints, curves, {"name": "m", "sha256": SHA}, {}, visibility)
    path = tmp_path / "c.json"
    path.write_text(made.to_json())
    return path


def test_the_policy_travels_in_the_calibration(tmp_path, people) -> None:
    poses = measured(crowd(people), COCO_17, (192, 256))
    fitted = policy()
    read = read_calibration(written(tmp_path, fitted)).visibility
    assert read is not None and (read(poses, 640, 480) == fitted(poses, 640, 480)).all()
    body = json.loads((tmp_path / "c.json").read_text())
    body["visibility"]["evidence"] = ["beauty"]
    (tmp_path / "c.json").write_text(json.dumps(body))
    with pytest.raises(UserError, match="other evidence"):
        read_calibration(tmp_path / "c.json")


def test_the_settings_choose_the_policy(tmp_path) -> None:
    def chosen(calibration=None, **settings):
        return visibility_policy(RunConfig(inputs=("x",), out="y", **settings), calibration)

    with_policy = read_calibration(written(tmp_path, policy()))
    assert isinstance(chosen(), ScoreThresholds)
    assert isinstance(chosen(calibration=with_policy), Evidence)
    assert isinstance(chosen(calibration=with_policy, visibility="score-thresholds"), ScoreThresholds)
    without = read_calibration(written(tmp_path, None))
    assert isinstance(chosen(calibration=without), ScoreThresholds)
    with pytest.raises(UserError, match="needs weights of this model"):
        chosen(calibration=without, visibility="evidence")


def test_the_files_say_how_v_was_decided() -> None:
    from annotator.store.schema import ModelRecord, Provenance

    provenance = Provenance(ModelRecord("m"), None, None, config_sha256="0" * 64, plan_sha256="1" * 64)
    document = json.loads(
        metadata("instances", skeleton=COCO_17, visibility=policy().to_dict(), provenance=provenance)[b"pose"]
    )
    jsonschema.validate(document, json.loads((CONTRACT / "metadata.schema.json").read_text()))
    assert document["visibility"]["policy"] == "evidence" and document["visibility"]["fitted_on"] == [
        "x.json"
    ]
