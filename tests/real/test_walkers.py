"""The real video through the command line: frames are rows, people found, one identity a passage."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotator.store.reader import Run

FPS, EVERY, SECONDS = 10, 2, 26
# Seen in the stills: an empty room, from 7 s to 19 s one woman, whole; nobody; from 24 s on one man, whole.
EMPTY = [*range(0, 56, EVERY), *range(204, 218, EVERY)]
WOMAN, MAN = range(70, 185, EVERY), range(240, 10 * SECONDS, EVERY)


@pytest.fixture(scope="module")
def run(cli, assets, models, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("walkers") / "run"
    cli(
        "run", assets.video, "--start", 0, "--end", SECONDS, "--every", EVERY, "--out", path, *models,
        "--executor", "inline", "--no-flip", "--shard-size", 25,
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def document(cli, run, tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp("coco") / "coco.json"
    cli("export", run, "--format", "coco", "--to", path)
    return json.loads(path.read_text())


def test_every_planned_frame_is_a_row_with_its_time(cli, run, assets):
    rows = [row for batch in Run(run).images() for row in batch.to_pylist()]
    assert [row["frame_index"] for row in rows] == list(range(0, FPS * SECONDS, EVERY))
    (uri,) = {row["video_uri"] for row in rows}
    assert Path(uri).samefile(assets.video)
    assert {(row["width"], row["height"]) for row in rows} == {(768, 432)}
    np.testing.assert_allclose(np.diff([row["time"] for row in rows]), EVERY / FPS, atol=0.01)
    assert len(Run(run).committed()) > 1
    cli("verify", run)


def test_people_are_found_where_they_are(document):
    frames = {image["id"]: image["frame_id"] for image in document["images"]}
    sure = [person for person in document["annotations"] if person["bbox_score"] > 0.6]
    found = sorted(frames[person["image_id"]] for person in sure)
    assert set(found) >= {*WOMAN, *MAN}
    assert not set(found) & set(EMPTY)
    assert len(found) == len(set(found))
    for person in sure:
        if frames[person["image_id"]] not in {*WOMAN, *MAN}:
            continue
        x, _, width, height = person["bbox"]
        assert height > 280
        joints = np.array(person["keypoints"]).reshape(-1, 3)
        inside = joints[joints[:, 2] > 0]
        assert len(inside) >= 10
        assert (abs(inside[:, 0] - x - width / 2) < 0.75 * width).all()


def test_each_passage_is_one_identity(document):
    assert [video["id"] for video in document["videos"]] == [1]
    assert {image["video_id"] for image in document["images"]} == {1}
    frames = {image["id"]: image["frame_id"] for image in document["images"]}
    followed: dict[int, list[int]] = {}
    for person in document["annotations"]:
        if "track_id" in person:
            followed.setdefault(person["track_id"], []).append(frames[person["image_id"]])
    assert not {frame for seen in followed.values() for frame in seen} & set(EMPTY)
    woman, man = sorted(followed.values(), key=min)
    assert set(woman) >= set(WOMAN)
    assert set(man) >= set(MAN)


def test_the_overlay_film_shows_the_same_frames(cli, run, tmp_path):
    import av

    path = tmp_path / "overlay.mp4"
    cli("export", run, "--format", "overlay-video", "--smooth", "--to", path)
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(np.diff(times), EVERY / FPS, atol=0.01)
    assert len(times) == FPS * SECONDS // EVERY


def test_the_number_of_workers_on_ray_changes_no_track(cli, assets, models, tmp_path):
    """Fourteen shards cut one passage into pieces, which one worker or two annotate in whatever order."""
    tables = {}
    for workers in (1, 2):
        path = tmp_path / str(workers)
        cli(
            "run", assets.video, "--start", 6, "--end", 20, "--every", EVERY, "--out", path, *models,
            "--executor", "ray", "--workers", workers, "--device", "cpu", "--no-flip", "--shard-size", 5,
        )  # fmt: skip
        cli("verify", path)
        assert len({record.stats["pid"] for record in Run(path).committed().values()}) == workers
        tables[workers] = [pq.read_table(path / name).sort_by("id") for name in ("tracks", "instances")]
    for one, two in zip(tables[1], tables[2], strict=True):
        assert len(one) == len(two) > 0 and one.column_names == two.column_names
        for name, kind in zip(one.column_names, one.schema.types, strict=True):
            left, right = one[name].combine_chunks(), two[name].combine_chunks()
            if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
                left, right = left.flatten(), right.flatten()
            if pa.types.is_floating(left.type):
                np.testing.assert_allclose(left, right, atol=0.01, err_msg=name)
            else:
                assert left.equals(right), name
