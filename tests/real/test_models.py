"""Real weights on the real photos: the same boxes and keypoints as MMDetection and MMPose themselves."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import numpy as np
import pytest

from annotator.models.detector import Detector
from annotator.models.sources import resolve_detector, resolve_pose
from annotator.models.topdown import TopDown


@pytest.fixture(scope="module")
def photos(assets) -> list[tuple[dict[str, Any], np.ndarray, np.ndarray]]:
    """Each photo: its COCO entry, RGB pixels, and ground-truth boxes (N, 4) xyxy of people with keypoints."""
    import cv2

    truth = json.loads(assets.ground_truth.read_text())
    people: dict[int, list[list[float]]] = {}
    for annotation in truth["annotations"]:
        if not annotation["iscrowd"] and annotation["num_keypoints"]:
            x, y, w, h = annotation["bbox"]
            people.setdefault(annotation["image_id"], []).append([x, y, x + w, y + h])
    result = []
    for entry in truth["images"]:
        pixels = cv2.cvtColor(cv2.imread(str(assets.photos / entry["file_name"])), cv2.COLOR_BGR2RGB)
        boxes = np.array(people.get(entry["id"], []), np.float64).reshape(-1, 4)
        result.append((entry, pixels, boxes))
    return result


@pytest.mark.parametrize("flip", [False, True])
def test_keypoints_equal_inference_topdown(assets, photos, flip: bool) -> None:
    source = resolve_pose(str(assets.pose_config), str(assets.pose_weights))
    ours = TopDown(source, flip=flip)
    from mmpose.apis import inference_topdown, init_model

    reference = init_model(source.config_path, source.weights_path, "cpu")
    reference.test_cfg["flip_test"] = flip
    with_people = [(pixels, boxes) for _, pixels, boxes in photos if len(boxes)]
    found = ours.estimate([pixels for pixels, _ in with_people], [boxes for _, boxes in with_people])
    shifts, score_errors = [], []
    for (pixels, boxes), poses in zip(with_people, found, strict=True):
        for i, sample in enumerate(
            inference_topdown(reference, np.ascontiguousarray(pixels[..., ::-1]), boxes)
        ):
            people = sample.pred_instances
            shifts.append(np.linalg.norm(poses.keypoints[i] - people.keypoints[0], axis=-1))
            score_errors.append(np.abs(poses.keypoint_scores[i] - people.keypoint_scores[0]))
    assert len(shifts) == 68
    assert np.percentile(np.concatenate(shifts), 99.9) < 0.05
    assert np.max(score_errors) < 1e-4


def test_boxes_reach_mmdetections_ap(assets, photos) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    source = resolve_detector(str(assets.detector_config), str(assets.detector_weights))
    detector = Detector(source)
    results = []
    for start in range(0, len(photos), 16):
        part = photos[start : start + 16]
        for (entry, _, _), people in zip(
            part, detector.detect([detector.prepare(pixels) for _, pixels, _ in part]), strict=True
        ):
            for (x1, y1, x2, y2), score in zip(people.bboxes.tolist(), people.scores.tolist(), strict=True):
                bbox = [x1, y1, x2 - x1, y2 - y1]
                results.append({"image_id": entry["id"], "category_id": 1, "bbox": bbox, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(assets.ground_truth))
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.params.catIds = [1]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(0.3963, abs=0.003)
