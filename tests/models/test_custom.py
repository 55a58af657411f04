"""Models of other skeletons go the whole way: run, rows, export, evaluation with their own sigmas."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from annotator.config import RunConfig
from annotator.evaluate.evaluation import evaluate
from annotator.export.coco import write_coco, write_coco_results
from annotator.models.openmmlab.build import build
from annotator.models.sources import resolve_pose
from annotator.models.zoo.catalogue import find_pose
from annotator.runtime.launch import launch
from annotator.runtime.progress import ProgressBar
from annotator.store.reader import Run
from annotator.store.verify import verify

# Three joints, unlike any published skeleton, of a checkpoint of one's own.
OWN = """
default_scope = 'mmpose'
codec = dict(type='UDPHeatmap', input_size=(48, 64), heatmap_size=(12, 16), sigma=2)
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(type='ResNet', depth=18),
    head=dict(
        type='HeatmapHead', in_channels=512, out_channels=3, deconv_out_channels=(8, 8, 8),
        deconv_kernel_sizes=(4, 4, 4), decoder=codec,
        loss=dict(type='KeypointMSELoss', use_target_weight=True)),
    test_cfg=dict(flip_test=True, flip_mode='heatmap', shift_heatmap=False))
test_dataloader = dict(dataset=dict(
    type='CocoDataset', data_mode='topdown', metainfo=dict(from_file='my_dataset.py'),
    pipeline=[
        dict(type='LoadImage'), dict(type='GetBBoxCenterScale'),
        dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True),
        dict(type='PackPoseInputs')]))
"""
BOXES = [[30.0, 20.0, 60.0, 110.0], [55.5, 10.25, 80.0, 120.0]]
SIZE = (200, 150)


def own_model(folder: Path) -> tuple[str, str]:
    """A config and a checkpoint of one's own, with the skeleton of README.md in a file beside them."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    [skeleton] = re.findall(r"^```python\n(# my_dataset\.py\n.+?)^```", readme, re.MULTILINE | re.DOTALL)
    (folder / "my_dataset.py").write_text(skeleton)
    config, weights = folder / "cyclist.py", folder / "cyclist.pth"
    config.write_text(OWN)
    network = build(resolve_pose(str(config), "random"), seed=5).network
    torch.save({"state_dict": network.state_dict(), "meta": {}}, weights)
    return str(config), str(weights)


def from_wheel(name: str):
    return lambda folder: (str(find_pose(name).config), "random")


MODELS = {
    "own": (own_model, 3),
    "halpe": (from_wheel("rtmpose-t_8xb1024-700e_body8-halpe26-256x192"), 26),
    "wholebody": (from_wheel("rtmpose-m_8xb64-270e_coco-wholebody-256x192"), 133),
    "hand": (from_wheel("td-hm_mobilenetv2_8xb64-210e_onehand10k-256x256"), 21),
}


@pytest.fixture(params=MODELS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Run, int]:
    """A run over two pictures with one given box each, and the number of joints."""
    make, joints = MODELS[request.param]
    config, weights = make(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        coarse = Image.fromarray(rng.integers(0, 256, (15, 20, 3), np.uint8))
        coarse.resize(SIZE, Image.Resampling.BICUBIC).save(tmp_path / f"{name}.png")
    images = [
        {"id": i + 1, "file_name": f"{name}.png", "width": SIZE[0], "height": SIZE[1]}
        for i, name in enumerate(("a", "b"))
    ]
    people = [
        {"id": i + 1, "image_id": i + 1, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for i, box in enumerate(BOXES)
    ]
    boxes = tmp_path / "boxes.json"
    categories = [{"id": 1, "name": "person"}]
    boxes.write_text(json.dumps({"images": images, "annotations": people, "categories": categories}))
    settings = RunConfig(
        inputs=(str(boxes),), out=str(tmp_path / "run"), image_root=str(tmp_path), boxes=str(boxes),
        pose=config, pose_weights=weights, executor="inline", device="cpu", quiet=True,
    )  # fmt: skip
    with ProgressBar(quiet=True) as bar:
        report = launch(settings, bar)
    assert report.exit_code == 0
    return Run(tmp_path / "run"), joints


def rows_of(run: Run) -> list[dict]:
    return [row for batch in run.instances() for row in batch.to_pylist()]


def truth_at(run: Run, oks: float) -> dict:
    """Ground truth from which every person of the run is `oks` away, by the model's own sigmas."""
    sigmas = np.array(run.skeleton.sigmas)
    images = [row for batch in run.images() for row in batch.to_pylist()]
    people = []
    for row in rows_of(run):
        keypoints = np.reshape(row["keypoints"], (-1, 3)).astype(float)
        keypoints[:, 0] += np.sqrt(-2 * np.log(oks) * row["area"]) * 2 * sigmas
        keypoints[:, 2] = 2
        people.append(
            {
                "id": row["id"], "image_id": row["image_id"], "category_id": 1, "iscrowd": 0,
                "bbox": row["bbox"], "area": row["area"], "num_keypoints": len(sigmas),
                "keypoints": keypoints.ravel().tolist(),
            }
        )  # fmt: skip
    return {
        "images": [{"id": row["image_id"], "file_name": row["file_name"]} for row in images],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": list(run.skeleton.keypoints)}],
    }


def test_runs_exports_and_evaluates(run, tmp_path: Path) -> None:
    run, joints = run
    rows = rows_of(run)
    assert [row["bbox"] for row in rows] == BOXES
    assert len(run.skeleton) == joints and all(len(row["keypoints"]) == 3 * joints for row in rows)
    assert all(len(row["keypoint_scores"]) == joints for row in rows)
    assert verify(run.path).ok

    write_coco(run, tmp_path / "coco.json")
    exported = json.loads((tmp_path / "coco.json").read_text())
    [category] = exported["categories"]
    assert category["keypoints"] == list(run.skeleton.keypoints)
    assert category["skeleton"] == [[a + 1, b + 1] for a, b in run.skeleton.edges]
    assert [len(a["keypoints"]) for a in exported["annotations"]] == [3 * joints] * 2
    write_coco_results(run, tmp_path / "results.json")
    assert [len(r["keypoints"]) for r in json.loads((tmp_path / "results.json").read_text())] == [
        3 * joints
    ] * 2

    # OKS 0.72 passes five of the ten thresholds 0.50, 0.55 ... 0.95; with other sigmas it would not be 0.72.
    for oks, ap in ((0.9999, 1.0), (0.72, 0.5), (0.3, 0.0)):
        (tmp_path / "truth.json").write_text(json.dumps(truth_at(run, oks)))
        figures = evaluate(run, tmp_path / "truth.json")
        assert figures["keypoints"]["AP"] == pytest.approx(ap, abs=1e-6), oks
        assert figures["bbox"]["AP"] == pytest.approx(1.0)


def test_the_skeleton_is_the_configs_own(tmp_path: Path) -> None:
    from annotator.models.topdown import TopDown

    model = TopDown(resolve_pose(*own_model(tmp_path)))
    assert model.skeleton.name == "cyclist"
    assert model.skeleton.keypoints == ("helmet", "left_pedal", "right_pedal")
    assert model.skeleton.sigmas == (0.05, 0.2, 0.1) and model.skeleton.flip_indices == (0, 2, 1)
    assert model.skeleton.edges == ((0, 1),)
