from __future__ import annotations

from importlib import import_module
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.models.openmmlab.mmlab import prepare
from annotator.pose.oks import instance_score, oks_matrix, oks_nms, soft_oks_nms
from annotator.skeletons import COCO_17

SIGMAS = np.asarray(COCO_17.sigmas, np.float64)


def crowd(seed: int, n: int) -> dict[str, np.ndarray]:
    """People of whom several nearly coincide."""
    rng = np.random.default_rng(seed)
    poses = rng.uniform(0, 200, (max(n // 3, 1), 17, 2))
    keypoints = poses[rng.integers(0, len(poses), n)] + rng.normal(0, rng.choice([0.5, 3, 10]), (n, 17, 2))
    return {
        "keypoints": keypoints,
        "scores": rng.permutation(n) / max(n, 1) + 0.01,
        "areas": rng.uniform(2000, 40000, n),
        "keypoint_scores": rng.uniform(0, 1, (n, 17)),
    }


def mmpose_nms() -> ModuleType:
    prepare()
    # Its package has a function of the same name.
    return import_module("mmpose.evaluation.functional.nms")


def as_mmpose(people: dict[str, np.ndarray]) -> list[dict]:
    return [
        {"keypoints": np.concatenate([k, v[:, None]], axis=1), "score": s, "area": a}
        for k, v, s, a in zip(
            people["keypoints"], people["keypoint_scores"], people["scores"], people["areas"], strict=True
        )
    ]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 40),
    st.sampled_from([0.3, 0.65, 0.9]),
    st.sampled_from([None, 0.3]),
)
def test_nms_equals_mmpose(seed, n, threshold, visible_above):
    nms = mmpose_nms()
    people = crowd(seed, n)
    dicts = as_mmpose(people)
    common = (people["keypoints"], people["scores"], people["areas"], SIGMAS, threshold)
    visible = {"keypoint_scores": people["keypoint_scores"], "visible_above": visible_above}
    expected = nms.oks_nms(dicts, threshold, sigmas=SIGMAS, vis_thr=visible_above)
    assert oks_nms(*common, **visible).tolist() == list(expected)
    expected = nms.soft_oks_nms(dicts, threshold, sigmas=SIGMAS, vis_thr=visible_above)
    assert soft_oks_nms(*common, **visible).tolist() == list(expected)


def test_matrix_equals_mmpose():
    nms = mmpose_nms()
    a, b = crowd(0, 6), crowd(1, 4)
    ours = oks_matrix(a["keypoints"], a["areas"], b["keypoints"], b["areas"], SIGMAS)
    flat = np.concatenate([b["keypoints"], np.ones((4, 17, 1))], axis=-1).reshape(4, -1)
    for i in range(6):
        one = np.concatenate([a["keypoints"][i], np.ones((17, 1))], axis=-1).ravel()
        np.testing.assert_allclose(
            ours[i], nms.oks_iou(one, flat, a["areas"][i], b["areas"], SIGMAS), atol=1e-6
        )


def test_matrix_equals_coco():
    """pycocotools, which counts only the labelled joints of the ground truth."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    a, b = crowd(0, 5), crowd(0, 3)
    visible = np.random.default_rng(5).random((3, 17)) > 0.3

    def annotation(i: int, keypoints: np.ndarray, v: np.ndarray, area: float) -> dict:
        flat = np.concatenate([keypoints, v[:, None]], axis=1).ravel().tolist()
        box = [*keypoints.min(axis=0), *np.ptp(keypoints, axis=0)]
        common = {
            "id": i + 1,
            "image_id": 1,
            "category_id": 1,
            "iscrowd": 0,
            "num_keypoints": int((v > 0).sum()),
        }
        return {**common, "keypoints": flat, "area": area, "bbox": box, "score": 1 - i / 100}

    def dataset(annotations: list[dict]) -> COCO:
        coco = COCO()
        coco.dataset = {"images": [{"id": 1}], "categories": [{"id": 1}], "annotations": annotations}
        coco.createIndex()
        return coco

    truth = [annotation(i, b["keypoints"][i], visible[i] * 2.0, b["areas"][i]) for i in range(3)]
    found = [annotation(i, a["keypoints"][i], np.ones(17), 1.0) for i in range(5)]
    evaluation = COCOeval(dataset(truth), dataset(found), "keypoints")
    evaluation._prepare()
    expected = evaluation.computeOks(1, 1)
    counted = np.broadcast_to(visible, (5, 3, 17))
    ours = oks_matrix(a["keypoints"], None, b["keypoints"], b["areas"], SIGMAS, counted=counted)
    np.testing.assert_allclose(ours, expected, atol=1e-9)
    assert ours.max() > 0.5


def test_identical_people_are_one_and_the_better_stays():
    person = np.random.default_rng(0).uniform(0, 100, (1, 17, 2))
    keypoints = np.repeat(person, 3, axis=0)
    np.testing.assert_allclose(oks_matrix(keypoints, np.ones(3), keypoints, np.ones(3), SIGMAS), 1)
    assert oks_nms(keypoints, np.array([0.1, 0.9, np.nan]), np.full(3, 1e4), SIGMAS).tolist() == [1]


def test_no_joint_in_common_and_a_joint_without_a_place():
    keypoints = np.zeros((2, 17, 2))
    areas = np.full(2, 100.0)
    hidden = np.zeros((2, 17))
    kept = oks_nms(keypoints, np.array([1.0, 0.5]), areas, SIGMAS, keypoint_scores=hidden, visible_above=0.1)
    assert sorted(kept.tolist()) == [0, 1]
    keypoints[1, 3] = np.nan
    assert oks_matrix(keypoints, areas, keypoints, areas, SIGMAS)[0, 1] == 0
    with pytest.raises(ValueError, match="keypoint_scores"):
        oks_nms(keypoints, areas, areas, SIGMAS, visible_above=0.1)


def test_nobody():
    none = (np.zeros((0, 17, 2)), np.zeros(0), np.zeros(0), SIGMAS)
    assert oks_nms(*none).shape == soft_oks_nms(*none).shape == (0,)
    assert instance_score(np.zeros(0), np.zeros((0, 17))).shape == (0,)


@pytest.mark.parametrize("mode", ["bbox", "keypoint", "bbox_keypoint", "bbox_rle"])
def test_instance_score_equals_mmpose(mode, monkeypatch):
    prepare()
    from mmpose.evaluation.metrics.coco_metric import CocoMetric

    rng = np.random.default_rng(0)
    n = 30
    bbox_scores = rng.random(n).astype(np.float32)
    keypoint_scores = rng.uniform(-0.1, 1.1, (n, 17)).astype(np.float32)
    keypoint_scores[3] = 0.1
    keypoint_scores[4] = 0.2
    predictions = [
        (
            {
                "id": i,
                "img_id": i,
                "category_id": 1,
                "keypoints": rng.random((1, 17, 2)),
                "keypoint_scores": keypoint_scores[i : i + 1],
                "bbox_scores": bbox_scores[i : i + 1],
            },
            {},
        )
        for i in range(n)
    ]
    written: dict[int, list[dict]] = {}
    metric = CocoMetric(score_mode=mode, nms_mode="none", format_only=True, outfile_prefix="unused")
    metric.dataset_meta = {"num_keypoints": 17, "sigmas": SIGMAS, "dataset_name": "none"}
    metric.coco = object()
    monkeypatch.setattr(metric, "results2json", lambda kpts, outfile_prefix: written.update(kpts))
    metric.compute_metrics(predictions)
    expected = [written[i][0]["score"] for i in range(n)]
    ours = instance_score(bbox_scores, keypoint_scores, mode)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    if mode == "bbox_keypoint":
        assert ours[3] == 0


def test_scores_that_are_no_numbers_count_as_zero():
    scores = np.full((1, 4), 0.5)
    scores[0, 1] = np.nan
    assert instance_score(np.ones(1), scores)[0] == 0.5
    assert instance_score(np.ones(1), scores, "keypoint")[0] == pytest.approx(0.375)
    with pytest.raises(ValueError, match="mode"):
        instance_score(np.ones(1), scores, "other")  # type: ignore[arg-type]
