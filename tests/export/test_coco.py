"""COCO files that other programs load, with nothing lost on the way."""

from __future__ import annotations

import contextlib
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from annotator.errors import ItemError, RunFailed, UserError
from annotator.export import FORMATS
from annotator.skeletons import COCO_17


@pytest.fixture
def run(make_run, picture, people):
    """Six images in three shards: people in four of them, an empty one, an error."""
    rng = np.random.default_rng(1)
    pictures = []
    for i in range(6):
        n = 1 + i % 3
        boxes = np.concatenate([rng.uniform(0, 300, (n, 2)), rng.uniform(40, 200, (n, 2))], 1)
        poses = people(boxes, rng.uniform(-20, 660, (n, 17, 2)), rng.uniform(0.1, 1, n))
        scores = rng.uniform(0, 1.1, (n, 17)).astype(np.float32)
        pictures.append(picture(f"d/{i} ü.jpg", replace(poses, keypoint_scores=scores)))
    pictures[2] = picture("2.jpg")
    pictures[5] = picture("5.jpg", ItemError("pose", "exception", "x"))
    return make_run(pictures).commit()


def rows(run) -> list[dict]:
    return [row for batch in run.open().instances() for row in batch.to_pylist()]


def self_evaluation(truth: Path, results: Path, kind: str) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO(str(truth))
        evaluation = COCOeval(gt, gt.loadRes(str(results)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0]


def test_pycocotools_loads_and_evaluates_both(run, tmp_path) -> None:
    truth, results = tmp_path / "coco.json", tmp_path / "results.json"
    done = FORMATS["coco"](run.open(), truth)
    assert (done.images, done.people, done.errors, done.below_score) == (5, len(rows(run)), 1, 0)
    assert FORMATS["coco-results"](run.open(), results) == replace(done, path=results)
    assert self_evaluation(truth, results, "keypoints") == pytest.approx(1)
    assert self_evaluation(truth, results, "bbox") == pytest.approx(1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["coco.json", "results.json", "run"]


def test_coco_file_has_what_coco_asks_for(run, tmp_path) -> None:
    path = tmp_path / "sub" / "coco.json"
    FORMATS["coco"](run.open(), path)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert [i["file_name"] for i in document["images"]] == [
        "d/0 ü.jpg",
        "d/1 ü.jpg",
        "2.jpg",
        "d/3 ü.jpg",
        "d/4 ü.jpg",
    ]
    assert document["images"][0] == {"id": 1000, "file_name": "d/0 ü.jpg", "width": 640, "height": 480}
    (category,) = document["categories"]
    assert (category["id"], category["name"], category["keypoints"]) == (1, "person", list(COCO_17.keypoints))
    assert min(min(edge) for edge in category["skeleton"]) == 1 and len(category["skeleton"]) == len(
        COCO_17.edges
    )
    assert document["info"]["pose_annotator"]["pose_model"]["sha256"] == "ab" * 32
    assert "videos" not in document
    stored = rows(run)
    assert len(document["annotations"]) == len(stored)
    for entry, row in zip(document["annotations"], stored, strict=True):
        assert all(
            entry[name] == row[name] for name in ("id", "image_id", "category_id", "iscrowd", "num_keypoints")
        )
        assert entry["bbox"] == row["bbox"] and entry["area"] == row["area"]
        xyv = np.array(row["keypoints"]).reshape(-1, 3)
        shown = np.array(entry["keypoints"]).reshape(-1, 3)
        assert (shown[:, 2] == xyv[:, 2]).all() and (shown[xyv[:, 2] == 0] == 0).all()
        # Shortest decimals of float32: equal once read back as float32, and far within 1e-4 px anyway.
        labelled = xyv[:, 2] > 0
        assert (shown[labelled].astype(np.float32) == xyv[labelled].astype(np.float32)).all()
        assert np.abs(shown[labelled] - xyv[labelled]).max(initial=0) < 1e-4
        assert {type(v) for v in entry["keypoints"][2::3]} == {int}
        assert np.float32(entry["score"]) == np.float32(row["score"])
        assert (np.float32(entry["keypoint_scores"]) == np.float32(row["keypoint_scores"])).all()
        assert "track_id" not in entry and "keypoint_probs" not in entry


def test_results_keep_every_coordinate(run, tmp_path) -> None:
    path = tmp_path / "results.json"
    FORMATS["coco-results"](run.open(), path)
    hidden = 0
    for entry, row in zip(json.loads(path.read_text()), rows(run), strict=True):
        assert list(entry) == ["image_id", "category_id", "keypoints", "score", "bbox"]
        assert (np.float32(entry["keypoints"]) == np.float32(row["keypoints"])).all()
        hidden += sum(v == 0 for v in entry["keypoints"][2::3])
    assert hidden > 0


def test_min_score_leaves_people_out_and_images_in(run, tmp_path) -> None:
    scores = sorted(row["score"] for row in rows(run))
    for name in ("coco", "coco-results"):
        done = FORMATS[name](run.open(), tmp_path / name, min_score=scores[2])
        assert (done.images, done.people, done.below_score) == (5, len(scores) - 2, 2)
        document = json.loads((tmp_path / name).read_text())
        entries = document["annotations"] if isinstance(document, dict) else document
        assert len(entries) == len(scores) - 2
        assert min(np.float32(e["score"]) for e in entries) >= np.float32(scores[2])


def test_a_run_without_people_gives_valid_files(make_run, picture, tmp_path) -> None:
    run = make_run([picture("a.jpg")]).commit().open()
    FORMATS["coco"](run, tmp_path / "c.json")
    FORMATS["coco-results"](run, tmp_path / "r.json")
    assert json.loads((tmp_path / "c.json").read_text())["annotations"] == []
    assert json.loads((tmp_path / "r.json").read_text()) == []


def test_frames_and_tracks(make_run, picture, people, tmp_path) -> None:
    import pyarrow as pa

    from annotator.store.commit import ShardWriter

    run = make_run([picture(f"v{i}.jpg", people([[0, 0, 50, 90]])) for i in range(2)])
    images, instances = run.tables(0)

    def fill(table, name, values):
        place, field = table.schema.get_field_index(name), table.schema.field(name)
        return table.set_column(place, field, pa.array(values, field.type))

    images = fill(fill(images, "video_uri", ["/v/b.mp4", "/v/a.mp4"]), "frame_index", [0, 7])
    ShardWriter(run.path, 0).commit(images, fill(instances, "track_id", [5, None]), {})
    FORMATS["coco"](run.open(), tmp_path / "c.json")
    document = json.loads((tmp_path / "c.json").read_text())
    assert [(i["video_id"], i["frame_id"]) for i in document["images"]] == [(1, 0), (2, 7)]
    assert document["videos"] == [{"id": 1, "name": "/v/b.mp4"}, {"id": 2, "name": "/v/a.mp4"}]
    assert [a.get("track_id") for a in document["annotations"]] == [5, None]


def test_an_export_that_fails_leaves_the_old_file(run, tmp_path) -> None:
    path = tmp_path / "c.json"
    path.write_text("old")
    reader = run.open()
    (run.path / reader.committed()[2].files["instances"].name).write_bytes(b"PAR1")
    for name in ("coco", "coco-results"):
        with pytest.raises(RunFailed, match="damaged"):
            FORMATS[name](reader, path)
    assert path.read_text() == "old" and sorted(p.name for p in tmp_path.iterdir()) == ["c.json", "run"]


def test_a_full_disk_is_said(run, tmp_path, monkeypatch) -> None:
    def full(descriptor):
        raise OSError(28, "No space left on device")

    path = tmp_path / "c.json"
    reader = run.open()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFailed, match="no space left"):
        FORMATS["coco"](reader, path)
    assert not path.exists() and len(list(tmp_path.iterdir())) == 1


def test_wrong_paths_are_said(run, tmp_path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        FORMATS["coco"](run.open(), tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot write"):
        FORMATS["coco"](run.open(), tmp_path / "file" / "c.json")


def test_nothing_committed_is_said(make_run, picture, tmp_path) -> None:
    with pytest.raises(UserError, match="nothing was committed"):
        FORMATS["coco"](make_run([picture("a.jpg")]).open(), tmp_path / "c.json")


def test_whoever_posed_is_named_and_what_the_rows_come_from(cascade, tmp_path) -> None:
    path = tmp_path / "c.json"
    FORMATS["coco"](cascade, path)
    document = json.loads(path.read_text())
    about = document["info"]["pose_annotator"]
    assert about["second_pose_model"]["sha256"] == "cd" * 32
    assert about["calibration"]["name"] == "probabilities.json" and about["derived_from"]["run"] == "earlier"
    assert [entry["posed_by"] for entry in document["annotations"]] == ["test-pose", 'second "pose"']


def test_rows_of_an_earlier_schema_name_no_second_model(run, tmp_path) -> None:
    opened = run.open()
    del opened.metadata["second_pose_model"], opened.metadata["derived_from"]
    FORMATS["coco"](opened, tmp_path / "c.json")
    document = json.loads((tmp_path / "c.json").read_text())
    assert document["info"]["pose_annotator"]["second_pose_model"] is None
    assert not any("posed_by" in entry for entry in document["annotations"])
