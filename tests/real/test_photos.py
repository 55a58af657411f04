"""The 79 real photos: the numbers of plain MMPose and MMDetection, and its keypoints for the same boxes."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pytest

from annotator.store.reader import Run


def figures(cli, run, assets) -> dict:
    return json.loads(cli("eval", run, "--gt", assets.ground_truth, "--json").stdout)


def people_by_image(run) -> dict[int, list[dict]]:
    people = defaultdict(list)
    for batch in Run(run).instances():
        for row in batch.to_pylist():
            people[row["image_id"]].append(row)
    return people


def test_keypoint_ap_with_given_boxes(cli, run_with_boxes, assets):
    found = figures(cli, run_with_boxes, assets)
    assert found["keypoints"]["AP"] == pytest.approx(0.6411, abs=0.003)
    assert found["keypoints"]["AP50"] == pytest.approx(0.7973, abs=0.003)


def test_ap_with_the_detector(cli, run_with_detector, assets):
    found = figures(cli, run_with_detector, assets)
    assert found["keypoints"]["AP"] == pytest.approx(0.5676, abs=0.003)
    assert found["keypoints"]["AP50"] == pytest.approx(0.7237, abs=0.005)
    assert found["bbox"]["AP"] == pytest.approx(0.3963, abs=0.003)
    assert found["matching"]["by"] == "file_name"


def test_given_boxes_are_honoured_exactly(run_with_boxes, assets):
    truth = json.loads(assets.ground_truth.read_text())
    expected = defaultdict(list)
    for annotation in truth["annotations"]:
        if not annotation["iscrowd"]:
            expected[annotation["image_id"]].append(annotation["bbox"])
    found = {image: [row["bbox"] for row in rows] for image, rows in people_by_image(run_with_boxes).items()}
    assert found == dict(expected)


def test_keypoints_equal_mmpose_for_the_same_boxes(run_with_boxes, assets):
    from annotator.models.openmmlab.mmlab import prepare

    prepare()
    from mmpose.apis import inference_topdown, init_model

    model = init_model(str(assets.pose_config), str(assets.pose_weights), device="cpu")
    people = people_by_image(run_with_boxes)
    uris = {
        row["image_id"]: row["uri"] for batch in Run(run_with_boxes).images() for row in batch.to_pylist()
    }
    shifts, score_shifts = [], []
    for image_id, rows in people.items():
        boxes = np.array([row["bbox"] for row in rows])
        for row, sample in zip(rows, inference_topdown(model, uris[image_id], boxes, "xywh"), strict=True):
            ours = np.reshape(row["keypoints"], (17, 3))[:, :2]
            shifts.append(np.linalg.norm(ours - sample.pred_instances.keypoints[0], axis=1))
            score_shifts.append(np.abs(row["keypoint_scores"] - sample.pred_instances.keypoint_scores[0]))
    assert len(shifts) == 117
    assert np.percentile(shifts, 99.9) < 0.05
    assert np.max(score_shifts) < 1e-4


def test_every_photo_has_one_row_and_no_phantom(run_with_detector, assets, cli):
    rows = [row for batch in Run(run_with_detector).images() for row in batch.to_pylist()]
    assert sorted(row["file_name"] for row in rows) == sorted(p.name for p in assets.photos.iterdir())
    people = people_by_image(run_with_detector)
    for row in rows:
        assert row["num_instances"] == len(people.get(row["image_id"], []))
        assert row["status"] == ("ok" if row["num_instances"] else "empty")
    # MMPose's own loop makes a person of score 1 out of a whole image in which nobody was found.
    assert all(person["bbox_score"] < 1 for found in people.values() for person in found)
    assert json.loads(cli("verify", run_with_detector, "--json").stdout)["ok"]


def test_a_photo_without_a_box_is_empty(run_with_boxes, assets):
    boxed = {
        a["image_id"] for a in json.loads(assets.ground_truth.read_text())["annotations"] if not a["iscrowd"]
    }
    rows = [row for batch in Run(run_with_boxes).images() for row in batch.to_pylist()]
    empty = [row["image_id"] for row in rows if row["status"] == "empty"]
    assert sorted(empty) == sorted({row["image_id"] for row in rows} - boxed)
    assert empty
    assert not set(empty) & set(people_by_image(run_with_boxes))


def test_visibility_never_holds_confidence(run_with_detector):
    for rows in people_by_image(run_with_detector).values():
        for row in rows:
            assert set(row["keypoints"][2::3]) <= {0.0, 1.0, 2.0}
            assert row["num_keypoints"] == sum(v > 0 for v in row["keypoints"][2::3])


def test_any_executor_gives_the_same_rows(cli, run_with_detector, assets, models, tmp_path):
    """Promise 2: other workers, another order, other shards' neighbours in a batch."""
    cli(
        "run", assets.photos, "--out", tmp_path / "run", *models, "--shard-size", 30, "--executor", "inline",
        "--set", "batch_people=7", "--set", "batch_images=5",
    )  # fmt: skip
    ray, inline = people_by_image(run_with_detector), people_by_image(tmp_path / "run")
    assert ray.keys() == inline.keys()
    for image_id in ray:
        for a, b in zip(ray[image_id], inline[image_id], strict=True):
            assert a["id"] == b["id"]
            np.testing.assert_allclose(a["bbox"], b["bbox"], atol=0.01)
            np.testing.assert_allclose(a["keypoints"], b["keypoints"], atol=0.01)


@pytest.mark.parametrize("format_name", ["coco", "coco-results"])
def test_exports_are_loaded_and_evaluated_by_pycocotools(cli, run_with_boxes, assets, tmp_path, format_name):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    path = tmp_path / "out.json"
    cli("export", run_with_boxes, "--format", format_name, "--to", path)
    truth = COCO(str(assets.ground_truth))
    results = json.loads(path.read_text())
    if format_name == "coco":
        loaded = COCO(str(path))
        assert loaded.loadCats(loaded.getCatIds())[0]["name"] == "person"
        assert len(loaded.loadCats(loaded.getCatIds())[0]["keypoints"]) == 17
        results = results["annotations"]
    evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    # Joints that the visibility policy holds for absent are (0, 0, 0) in a COCO file.
    assert evaluation.stats[0] == pytest.approx(0.6411, abs=0.003 if format_name == "coco-results" else 0.02)
