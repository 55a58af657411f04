"""Twelve seconds of the real video through the command line: frames are rows, people where people are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from annotator.store.reader import Run

EVERY = 10
# Seen in the stills: an empty room, at 6 s the top of a head, from 7 s on one woman, whole.
EMPTY, WHOLE = range(0, 60, EVERY), range(70, 120, EVERY)


@pytest.fixture(scope="module")
def run(cli, assets, models, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("walkers") / "run"
    cli(
        "run", assets.video, "--start", 0, "--end", 12, "--every", EVERY, "--out", path, *models,
        "--executor", "inline", "--no-flip", "--shard-size", 8,
    )  # fmt: skip
    return path


def frames_of(run: Path) -> list[dict]:
    return [row for batch in Run(run).images() for row in batch.to_pylist()]


def test_every_planned_frame_is_a_row_with_its_time(cli, run, assets):
    rows = frames_of(run)
    assert [row["frame_index"] for row in rows] == list(range(0, EVERY * len(rows), EVERY))
    (uri,) = {row["video_uri"] for row in rows}
    assert Path(uri).samefile(assets.video)
    assert {(row["width"], row["height"]) for row in rows} == {(768, 432)}
    np.testing.assert_allclose(np.diff([row["time"] for row in rows]), 1, atol=0.01)
    assert len(rows) == 12
    assert len(Run(run).committed()) > 1
    cli("verify", run)


def test_people_are_found_where_they_are(run, tmp_path, cli):
    path = tmp_path / "coco.json"
    cli("export", run, "--format", "coco", "--to", path)
    document = json.loads(path.read_text())
    assert len(document["videos"]) == 1
    frames = {image["id"]: image["frame_id"] for image in document["images"]}
    sure = [person for person in document["annotations"] if person["bbox_score"] > 0.6]
    found = [frames[person["image_id"]] for person in sure]
    assert sorted(found) == list(WHOLE)
    assert not set(found) & set(EMPTY)
    for person in sure:
        x, _, width, height = person["bbox"]
        assert height > 300
        joints = np.array(person["keypoints"]).reshape(-1, 3)
        inside = joints[joints[:, 2] > 0]
        assert len(inside) >= 10
        assert (abs(inside[:, 0] - x - width / 2) < 0.75 * width).all()
    assert [image["frame_id"] for image in document["images"]] == list(range(0, 12 * EVERY, EVERY))
    assert {image["video_id"] for image in document["images"]} == {document["videos"][0]["id"]}
