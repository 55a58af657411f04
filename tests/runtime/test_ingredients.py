"""Files that decide a run's rows: named for any folder, read once, and missed with a clear word."""

from __future__ import annotations

import hashlib
import json

import cv2
import numpy as np
import pytest

from annotator.config import RunConfig
from annotator.errors import ItemError, UserError
from annotator.models.sources import resolve_pose
from annotator.models.weights import fetch
from annotator.models.zoo import catalogue
from annotator.quality.calibration import Calibration
from annotator.runtime import launch
from annotator.runtime.ingredients import located, resolve_models, resolve_second
from annotator.runtime.job import Job
from annotator.runtime.progress import ProgressBar
from annotator.runtime.retry import retry
from annotator.skeletons import COCO_17
from annotator.store.schema import FileRecord

LISTENER = ProgressBar(quiet=True)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder: a picture, boxes for it, and a calibration of rtmpose-t with random weights."""
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "1.png"), np.zeros((12, 16, 3), np.uint8))
    image, box = {"id": 1, "file_name": "1.png"}, {"image_id": 1, "category_id": 1, "bbox": [1, 2, 8, 9]}
    boxes = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "my boxes.json").write_text(json.dumps(boxes))
    curve = (np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    model = {"name": "rtmpose-t", "sha256": resolve_pose("rtmpose-t", "random").sha256}
    (tmp_path / "c.json").write_text(Calibration(COCO_17.keypoints, (curve,) * 17, model, {}).to_json())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(folder, **changes) -> RunConfig:
    settings = {
        "inputs": ("photos",), "out": str(folder / "run"), "pose": "rtmpose-t", "pose_weights": "random",
        "engine": "torch", "precision": "fp32", "device": "cpu", "executor": "inline",
    }  # fmt: skip
    return RunConfig(**(settings | changes))


def test_boxes_and_calibration_are_named_for_any_folder(folder) -> None:
    boxes = str(folder / "my boxes.json")
    for name in ("my boxes.json", boxes, f"file://{folder}/my%20boxes.json"):
        found = located(config(folder, boxes=name, calibration="c.json"))
        assert (found.boxes, found.calibration) == (boxes, str(folder / "c.json"))
    assert located(config(folder)) == config(folder)


def test_a_start_takes_boxes_by_uri_and_reads_the_calibration_for_all_workers(folder, monkeypatch) -> None:
    jobs: list[Job] = []
    monkeypatch.setattr(launch, "begin", lambda job, *rest: jobs.append(job))
    uri = f"file://{folder}/my%20boxes.json"
    launch.launch(config(folder, boxes=uri, calibration="c.json"), LISTENER)
    [job] = jobs
    records = job.provenance.boxes, job.provenance.calibration
    hashes = [
        hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("my boxes.json", "c.json")
    ]
    assert records == (FileRecord("my boxes.json", hashes[0]), FileRecord("c.json", hashes[1]))
    assert job.calibration is not None and job.calibration.sha256 == hashes[1]
    assert job.config.boxes == str(folder / "my boxes.json")


def test_a_cascade_of_two_models_of_one_name_is_refused(folder) -> None:
    pose = resolve_pose("rtmpose-t", "random")
    asked = {"second_pose": "rtmpose-t", "second_pose_weights": "random"}
    with pytest.raises(UserError, match="both models are called rtmpose-t"):
        resolve_second(config(folder, cascade=True, **asked), pose)
    second = resolve_second(config(folder, **asked), pose)
    assert second is not None and second.name == "rtmpose-t"


def test_a_model_without_a_skeleton_is_refused_before_there_is_a_run(folder) -> None:
    (folder / "mine.py").write_text(
        "model = dict(type='mmpose.TopdownPoseEstimator', head=dict(type='HeatmapHead', out_channels=3))\n"
        "test_dataloader = dict(dataset=dict(type='CustomDataset', metainfo=dict(from_file='no.py')))\n"
    )
    for asked in ({"pose": "mine.py"}, {"second_pose": "mine.py", "second_pose_weights": "random"}):
        with pytest.raises(UserError, match=r"mine\.py: no skeleton for the 3 keypoints"):
            launch.launch(config(folder, boxes="my boxes.json", **asked), LISTENER)
    assert not (folder / "run" / "run.json").exists()


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Every download fails at once; the cache is empty."""

    def refuse(url, target, progress, patience) -> None:
        raise fetch.MissingWeightsError([(target.name, url)], str(target.parent), "no connection")

    monkeypatch.setenv("ANNOTATOR_WEIGHTS_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "_download", refuse)


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({}, ["rtmpose-t", "rtmdet-nano"]),
        ({"second_pose": "res50"}, ["rtmpose-t", "res50", "rtmdet-nano"]),
        ({"pose_weights": "random"}, ["rtmdet-nano"]),
        ({"boxes": "my boxes.json"}, ["rtmpose-t"]),
        ({"detector": "demo-detector"}, ["rtmpose-t"]),
        ({"pose": "rtmo-s"}, ["rtmo-s"]),
    ],
)
def test_without_a_network_one_message_lists_the_files_of_all_models(
    folder, no_network, settings: dict, missing: list[str]
) -> None:
    settings = {"pose_weights": None, "detector": "rtmdet-nano"} | settings
    with pytest.raises(fetch.MissingWeightsError) as caught:
        resolve_models(config(folder, **settings), LISTENER)
    assert [address for _, address in caught.value.files] == [catalogue.find(name).url for name in missing]


def test_a_file_that_is_not_there_is_missed_before_any_download(folder, no_network) -> None:
    with pytest.raises(UserError, match=r"--detector-weights no\.pth: no such file"):
        resolve_models(config(folder, pose_weights=None, detector_weights="no.pth"), LISTENER)


def test_boxes_for_a_model_that_finds_people_are_refused_before_any_download(folder, no_network) -> None:
    with pytest.raises(UserError, match="rtmo-s finds people by itself"):
        resolve_models(config(folder, pose="rtmo-s", pose_weights=None, boxes="my boxes.json"), LISTENER)


def test_a_retry_that_misses_the_boxes_says_so(make_run, picture, folder) -> None:
    made = make_run([picture("a.jpg", ItemError("read", "missing", "not there"), size=None)]).commit()
    made.set(**config(folder, boxes=str(folder / "gone.json")).model_dump(mode="json"))
    with pytest.raises(UserError, match=r"gone\.json cannot be read: No such file"):
        retry(str(made.path), {}, LISTENER)
