"""Whose scores a calibration knows something of: probabilities and v in a cascade."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from annotator.config import RunConfig
from annotator.quality.calibration import Calibration
from annotator.runtime.rows import Probabilities, visibility_policy
from annotator.skeletons import COCO_17
from annotator.store.schema import ModelRecord
from annotator.store.visibility import EVIDENCE, Evidence

SHA = "ab" * 32


def always_hidden() -> Calibration:
    """A calibration whose policy says v = 1 of every joint, whatever speaks for or against it."""
    weights = np.zeros((17, len(EVIDENCE) + 1, 3))
    weights[:, -1, 1] = 1
    policy = Evidence(COCO_17, np.zeros(len(EVIDENCE)), np.ones(len(EVIDENCE)), weights, {})
    curve = (np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    return Calibration(COCO_17.keypoints, (curve,) * 17, {"name": "first", "sha256": SHA}, {}, policy)


def test_weights_of_one_model_do_not_decide_about_the_others_people(people) -> None:
    calibration = always_hidden()
    provenance = SimpleNamespace(pose_model=ModelRecord("first", SHA))
    probable = Probabilities(SimpleNamespace(provenance=provenance, calibration=calibration), COCO_17)  # type: ignore[arg-type]
    settings = {"inputs": ("x",), "out": "y", "second_pose": "second", "cascade": True}
    policy = visibility_policy(RunConfig(**settings, visible_threshold=0.5), calibration)
    posed = people([[20, 30, 100, 300], [200, 30, 100, 300], [400, 30, 100, 300]], scores=[0.9, 0.9, 0.4])
    posed = probable(replace(posed, posed_by=np.array(["first", "second", "second"])))
    assert posed.keypoint_probs is not None
    assert np.isnan(posed.keypoint_probs).all(axis=1).tolist() == [False, True, True]
    v = policy(posed, 640, 480)
    assert v.dtype == np.int8 and v[:, 0].tolist() == [1, 2, 1] and (v == v[:, :1]).all()
    told = policy.to_dict()
    assert told["policy"] == "evidence"
    assert told["posed_by_another_model"] == {
        "policy": "score-thresholds",
        "visible": 0.5,
        "hidden": 0.05,
        "outside_image": 0,
    }
    # Nobody of a shard may be the second model's.
    alone = probable(replace(posed, posed_by=None, keypoint_probs=None))
    assert (policy(alone, 640, 480) == 1).all()
