"""Evaluation against constructed ground truth, and against pycocotools and MMPose's metric themselves."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from annotator.errors import ItemError, UserError
from annotator.evaluate.coco import BBOX_FIGURES, KEYPOINT_FIGURES
from annotator.evaluate.evaluation import evaluate
from annotator.pose.oks import instance_score
from annotator.skeletons import COCO_17
from annotator.store.schema import ModelRecord


def ground_truth(names: list[str], per_image: list[np.ndarray], first_id: int = 1) -> dict:
    """COCO file of boxes (N, 4) xywh with 17 labelled joints on the diagonal of each."""
    annotations = []
    for image, boxes in enumerate(per_image):
        for box in np.asarray(boxes, np.float64).reshape(-1, 4):
            xy = box[:2] + np.linspace(0.05, 0.95, 17)[:, None] * box[2:]
            annotations.append(
                {
                    "id": first_id + len(annotations),
                    "image_id": image + 1,
                    "category_id": 1,
                    "bbox": box.tolist(),
                    "area": float(box[2] * box[3]),
                    "iscrowd": 0,
                    "keypoints": np.concatenate([xy, np.full((17, 1), 2.0)], 1).ravel().tolist(),
                    "num_keypoints": 17,
                }
            )
    return {
        "images": [
            {"id": i + 1, "file_name": name, "width": 640, "height": 480} for i, name in enumerate(names)
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints)}],
    }


def directly(gt: dict, results: list[dict], kind: str, image_ids: list[int]) -> np.ndarray:
    """What pycocotools itself says."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(gt)
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), kind)
        evaluation.params.imgIds = image_ids
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.fixture
def write(tmp_path: Path) -> Callable[[dict], Path]:
    def write(gt: dict) -> Path:
        path = tmp_path / "gt.json"
        path.write_text(json.dumps(gt))
        return path

    return write


BOXES = [np.array([[50, 40, 120, 240], [300, 60, 150, 300]]), np.array([[20, 20, 40, 70]]), np.zeros((0, 4))]
NAMES = ["a.jpg", "b.jpg", "c.jpg"]


@pytest.mark.parametrize("first_id", [0, 1])
def test_perfect_predictions_are_perfect(make_run, picture, people, write, first_id: int) -> None:
    """With annotation id 0 too, which pycocotools by itself takes for "no match"."""
    run = make_run([picture(n, people(b)) for n, b in zip(NAMES, BOXES, strict=True)]).commit()
    result = evaluate(run.open(), write(ground_truth(NAMES, BOXES, first_id)))
    assert result["keypoints"]["AP"] == pytest.approx(1) and result["keypoints"]["AR"] == pytest.approx(1)
    assert result["bbox"]["AP"] == pytest.approx(1) and result["bbox"]["AP50"] == pytest.approx(1)
    assert result["bbox"]["APM"] == pytest.approx(1) and result["bbox"]["APS"] is None
    assert (result["images"], result["people"], result["gt_people"]) == (3, 3, 3)
    assert result["matching"]["by"] == "file_name"
    json.dumps(result)


def test_figures_equal_pycocotools(make_run, picture, people, write) -> None:
    """Random people, some missed, some false, crowds and unlabelled people in the ground truth."""
    rng = np.random.default_rng(3)
    names = [f"{i:03d}.jpg" for i in range(30)]
    truth = [
        np.concatenate(
            [rng.uniform(0, 300, (n, 2)), rng.uniform(8, 60, (n, 2)) * rng.uniform(1, 4, (n, 1))], 1
        )
        for n in rng.integers(0, 5, len(names))
    ]
    gt = ground_truth(names, truth)
    for annotation in gt["annotations"][::7]:
        annotation.update(num_keypoints=0, keypoints=[0] * 51)
    gt["annotations"][3]["iscrowd"] = 1
    pictures, keypoint_results, bbox_results = [], [], []
    for image, (name, boxes) in enumerate(zip(names, truth, strict=True)):
        seen = boxes[rng.random(len(boxes)) < 0.8]
        found = np.concatenate(
            [seen + rng.normal(0, 4, seen.shape), rng.uniform(20, 200, (rng.integers(0, 2), 4))]
        )
        scores = rng.uniform(0.1, 1, len(found)).astype(np.float32)
        poses = people(found, scores=scores)
        pictures.append(picture(name, poses))
        for i in range(len(found)):
            common = {
                "image_id": image + 1,
                "category_id": 1,
                "bbox": found[i].tolist(),
                "score": float(scores[i]),
            }
            xyv = np.concatenate([poses.keypoints[i], np.ones((17, 1))], 1)
            keypoint_results.append({**common, "keypoints": xyv.ravel().tolist()})
            bbox_results.append(common)
    run = make_run(pictures, shard_size=7).commit()
    ours = evaluate(run.open(), write(gt), nms="none")
    ids = [image["id"] for image in gt["images"]]
    theirs = directly(gt, keypoint_results, "keypoints", ids)
    assert 0.2 < theirs[0] < 0.95
    for name, value in zip(KEYPOINT_FIGURES, theirs, strict=True):
        assert ours["keypoints"][name] == pytest.approx(value, abs=1e-9), name
        assert value >= 0
    for name, value in zip(BBOX_FIGURES, directly(gt, bbox_results, "bbox", ids), strict=True):
        assert ours["bbox"][name] == pytest.approx(value, abs=1e-9), name


def test_only_images_of_the_run_count(make_run, picture, people, write) -> None:
    gt = ground_truth(NAMES, BOXES)
    gt["images"].append({"id": 4, "file_name": "d.jpg", "width": 640, "height": 480})
    gt["annotations"].append({**gt["annotations"][0], "id": 99, "image_id": 4})
    run = make_run(
        [picture("x/a.jpg", people(BOXES[0]), image_id=1), picture("x/q.jpg", image_id=77)]
    ).commit()
    result = evaluate(run.open(), write(gt))
    assert result["keypoints"]["AP"] == pytest.approx(1)
    assert result["matching"]["gt_images_not_in_run"] == 3
    assert result["matching"]["unmatched_examples"] == ["x/q.jpg"] and result["images"] == 1


def test_an_error_row_is_a_miss(make_run, picture, people, write) -> None:
    pictures = [
        picture("a.jpg", people(BOXES[0])),
        picture("b.jpg", ItemError("decode", "truncated", "x"), size=None),
    ]
    result = evaluate(make_run(pictures).commit().open(), write(ground_truth(NAMES, BOXES)))
    assert (
        result["images"] == 2
        and result["keypoints"]["AR"] < 1
        and result["bbox"]["AR"] == pytest.approx(2 / 3)
    )


def test_nobody_found_is_zero_not_a_crash(make_run, picture, write) -> None:
    result = evaluate(make_run([picture("a.jpg")]).commit().open(), write(ground_truth(NAMES, BOXES)))
    assert result["keypoints"]["AP"] == 0 and result["bbox"]["AP"] == 0 and result["bbox"]["APS"] is None


def test_oks_nms_leaves_out_doubles_but_keeps_the_rows(make_run, picture, people, write) -> None:
    """A second, slightly moved and better scored copy of everybody."""
    doubled = np.concatenate([BOXES[0], BOXES[0] + [1, 1, 0, 0]])
    pictures = [picture("a.jpg", people(doubled, scores=[0.6, 0.6, 0.9, 0.9]))]
    run = make_run(pictures).commit()
    path = write(ground_truth(NAMES, BOXES))
    with_nms, without = evaluate(run.open(), path), evaluate(run.open(), path, nms="none")
    assert (
        with_nms["nms"] == {"mode": "oks", "threshold": 0.9, "left_out": 2}
        and without["nms"]["left_out"] == 0
    )
    assert with_nms["bbox"] == without["bbox"] and with_nms["people"] == 4
    assert sum(batch.num_rows for batch in run.open().instances()) == 4


@pytest.mark.parametrize(("detector", "left_out"), [(ModelRecord("test-detector"), 103), (None, 69)])
def test_scores_and_nms_equal_mmpose(make_run, picture, people, write, detector, left_out: int) -> None:
    """The same predictions, many of them near copies, through MMPose's own CocoMetric.

    Without a detector the model saw whole images: there MMPose knows no crop, and takes the joints' extent.
    """
    from annotator.models.openmmlab.mmlab import prepare

    prepare()
    from mmpose.evaluation.metrics import CocoMetric

    rng = np.random.default_rng(5)
    names = [f"{i:03d}.jpg" for i in range(20)]
    truth = [np.concatenate([rng.uniform(0, 300, (3, 2)), rng.uniform(60, 200, (3, 2))], 1) for _ in names]
    path = write(ground_truth(names, truth))
    pictures, samples = [], []
    for image, (name, boxes) in enumerate(zip(names, truth, strict=True)):
        found = np.concatenate([boxes + rng.normal(0, 3, boxes.shape) for _ in range(3)])
        bbox_scores = rng.uniform(0.1, 1, len(found)).astype(np.float32)
        keypoint_scores = rng.uniform(0, 1, (len(found), 17)).astype(np.float32)
        scores = instance_score(bbox_scores, keypoint_scores)
        poses = replace(people(found, scores=bbox_scores), keypoint_scores=keypoint_scores, scores=scores)
        pictures.append(picture(name, poses))
        for i, (x, y, w, h) in enumerate(found):
            side = max(w * 1.25, h * 1.25 * 0.75)
            crop = {"bbox_scales": np.array([[side, side / 0.75]])} if detector else {}
            samples.append(
                {
                    "id": len(samples),
                    "img_id": image + 1,
                    "pred_instances": {
                        "keypoints": poses.keypoints[i : i + 1],
                        "keypoint_scores": keypoint_scores[i : i + 1],
                        "bboxes": np.array([[x, y, x + w, y + h]]),
                    },
                    "gt_instances": {"bbox_scores": bbox_scores[i : i + 1]} | crop,
                }
            )
    metric = CocoMetric(str(path), nms_mode="oks_nms", nms_thr=0.9)
    metric.dataset_meta = {"num_keypoints": 17, "sigmas": np.array(COCO_17.sigmas)}
    with contextlib.redirect_stdout(io.StringIO()):
        metric.process({}, samples)
        theirs = metric.evaluate(size=len(samples))
    run = make_run(pictures)
    run.provenance = replace(run.provenance, detector=detector)
    ours = evaluate(run.commit().open(), path)
    assert ours["nms"]["left_out"] == left_out
    assert 0.2 < ours["keypoints"]["AP"] < 0.95
    for name in KEYPOINT_FIGURES:
        head, tail = name[:2], name[2:]
        key = f"coco/{head}" + (f" .{tail}" if tail.isdigit() else f" ({tail})" if tail else "")
        expected = theirs[key.replace(".50", ".5")]
        assert ours["keypoints"][name] == (None if expected < 0 else pytest.approx(expected, abs=1e-6)), name


def test_sigmas_are_those_of_the_run(make_run, picture, people, write, monkeypatch) -> None:
    moved = people(BOXES[0], keypoints=people(BOXES[0]).keypoints + 9)
    run = make_run([picture("a.jpg", moved)]).commit().open()
    strict = evaluate(run, write(ground_truth(NAMES, BOXES)))
    run.metadata["skeleton"]["sigmas"] = [1.0] * 17
    lenient = evaluate(run, write(ground_truth(NAMES, BOXES)))
    assert strict["keypoints"]["AP"] < 0.9 and lenient["keypoints"]["AP"] == pytest.approx(1)


def test_the_person_category_may_have_another_number(make_run, picture, people, write) -> None:
    gt = ground_truth(NAMES, BOXES)
    for entry in [*gt["annotations"]]:
        entry["category_id"] = 42
        del entry["num_keypoints"], entry["iscrowd"], entry["area"]
    gt["categories"] = [{"id": 3, "name": "dog"}, {"id": 42, "name": "person"}]
    gt["annotations"].append({"id": 50, "image_id": 1, "category_id": 3, "bbox": [0, 0, 5, 5]})
    run = make_run([picture(n, people(b)) for n, b in zip(NAMES, BOXES, strict=True)]).commit()
    result = evaluate(run.open(), write(gt))
    assert result["keypoints"]["AP"] == pytest.approx(1) and result["bbox"]["AP"] == pytest.approx(1)


def test_it_is_quiet(make_run, picture, people, write, capsys) -> None:
    evaluate(
        make_run([picture("a.jpg", people(BOXES[0]))]).commit().open(), write(ground_truth(NAMES, BOXES))
    )
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda gt: gt.pop("images"), "not a COCO ground truth"),
        (lambda gt: [a.pop("keypoints") for a in gt["annotations"]], "no keypoints"),
        (lambda gt: gt["annotations"][0].update(keypoints=[1, 1, 2] * 19), "19 joints"),
        (lambda gt: [i.update(file_name="z" + i["file_name"]) for i in gt["images"]], "no image of"),
        (lambda gt: gt["annotations"][0].pop("bbox"), "lacks 'bbox'"),
        (lambda gt: gt["categories"].append({"id": 2, "name": "person"}), "which category"),
    ],
)
def test_what_is_no_ground_truth_is_said(make_run, picture, people, write, change, message: str) -> None:
    gt = ground_truth(NAMES, BOXES)
    change(gt)
    run = make_run([picture("a.jpg", people(BOXES[0]))]).commit().open()
    with pytest.raises(UserError, match=message):
        evaluate(run, write(gt))


def test_unreadable_files_are_said(make_run, picture, tmp_path) -> None:
    run = make_run([picture("a.jpg")]).commit().open()
    (tmp_path / "bad.json").write_text("{")
    for name in ("bad.json", "absent.json"):
        with pytest.raises(UserError, match=name):
            evaluate(run, tmp_path / name)
