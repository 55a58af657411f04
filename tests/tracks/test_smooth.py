"""Smoothed joints: error on motion with known truth, honest deviations, short gaps filled and flagged."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotator.errors import UserError
from annotator.export import FORMATS
from annotator.store.leftovers import sweep
from annotator.store.records import record_name
from annotator.tracks.layer import follow_run
from annotator.tracks.smooth import estimate_sigma, smooth
from annotator.tracks.smoothed import SMOOTHED, SmoothedRun
from jobs.benchmark_smooth import FPS, HEIGHT, errors, motion

WALK = [(40.0, 100.0, 7.0)]


@pytest.fixture(scope="module")
def made():
    return motion(0, frames=400, paths=16)


@pytest.fixture(scope="module")
def smoothed(made):
    return smooth(np.arange(400) / FPS, made.observed, made.confidences, np.full(16, HEIGHT))


def test_errors_are_a_tenth_of_the_raw_ones(made, smoothed):
    everything, slow, fast = errors(made, smoothed.points)
    assert errors(made, made.observed)[0] > 20
    assert everything <= 2.5
    assert slow <= 2.2
    assert fast <= 4.0


def test_the_deviation_says_how_far_off_a_joint_is(made, smoothed):
    off = np.abs(smoothed.points - made.truth)
    within = (off <= 2 * smoothed.sigmas[..., None])[~made.fast]
    # 95% of a normal distribution.
    assert 0.90 < within.mean() < 0.99
    seen = np.isfinite(made.observed).all(axis=-1)
    assert np.median(smoothed.sigmas[~seen]) > 1.3 * np.median(smoothed.sigmas[seen])


def test_the_noise_is_estimated_whatever_the_motion_and_the_outliers(made):
    share = np.clip(made.confidences, 0.05, 1) / 0.8
    found = estimate_sigma(made.observed, share, np.full(16, HEIGHT)) * HEIGHT
    # Quick movements and outliers are in it too, so a little more than 3.
    assert 2.7 < found < 4.0


def test_size_and_rate_do_not_matter(made):
    """The same motion at half the size and twice as fast."""
    whole = smooth(np.arange(400) / FPS, made.observed, made.confidences, np.full(16, HEIGHT))
    half = smooth(np.arange(400) / FPS, made.observed / 2, made.confidences, np.full(16, HEIGHT / 2))
    np.testing.assert_allclose(half.points * 2, whole.points, atol=1e-6)


def test_a_path_that_is_seen_once_stays():
    points = np.full((5, 1, 2), np.nan)
    points[2] = 40, 50
    done = smooth(np.arange(5) / 10, points, np.full((5, 1), 0.8), np.array([100.0]))
    np.testing.assert_allclose(done.points[2, 0], [40, 50], atol=1e-6)
    assert done.sigmas[0, 0] > 10 * done.sigmas[2, 0]


@pytest.fixture
def film(film_run, walkers):
    """A walker who is missed in frames 12 to 14 and 30 to 49, with noise of 5 px."""
    missing = frozenset((n, 0) for n in [12, 13, 14, *range(30, 50)])
    frames = walkers(70, WALK, missing)
    rng = np.random.default_rng(0)
    for poses in frames:
        poses.keypoints[...] += rng.normal(size=poses.keypoints.shape) * 5
    run = film_run([frames], shard_size=11).commit()
    follow_run(run.open())
    sweep(run.path)
    return run


def exported(run, tmp_path, smooth: bool = False) -> list[dict]:
    path = tmp_path / "coco.json"
    FORMATS["coco"](SmoothedRun(run.open()) if smooth else run.open(), path)
    document = json.loads(path.read_text())
    frames = {image["id"]: image["frame_id"] for image in document["images"]}
    assert [video["id"] for video in document["videos"]] == [1]
    return [person | {"frame": frames[person["image_id"]]} for person in document["annotations"]]


def test_export_smooths_on_request_and_keeps_the_raw_joints(film, walkers, tmp_path):
    raw, smooth_ = exported(film, tmp_path), exported(film, tmp_path, smooth=True)
    assert not any("keypoints_raw" in person for person in raw)
    assert {person["track_id"] for person in smooth_} == {person["track_id"] for person in raw}
    by_id = {person["id"]: person for person in smooth_ if not person.get("filled")}
    truth = walkers(70, WALK)
    before, after = [], []
    for person in raw:
        mine = by_id[person["id"]]
        assert mine["keypoints_raw"] == person["keypoints"]
        assert mine["keypoints"][2::3] == person["keypoints"][2::3]
        assert len(mine["keypoint_sigmas"]) == 17
        exact = truth[person["frame"]].keypoints[0]
        before.append(np.reshape(person["keypoints"], (17, 3))[:, :2] - exact)
        after.append(np.reshape(mine["keypoints"], (17, 3))[:, :2] - exact)
    assert np.std(after) < 0.8 * np.std(before)


def test_a_smoothed_run_reads_as_any_other(film):
    run = SmoothedRun(film.open())
    rows = pa.Table.from_batches(run.instances())
    assert rows.schema.names == SMOOTHED.names
    some = ["score", "filled", "id"]
    assert pa.Table.from_batches(run.instances(some)) == rows.select(some)
    assert pa.Table.from_batches(SmoothedRun(run).instances()) == rows


def test_short_gaps_are_filled_and_flagged_long_ones_are_not(film, walkers, tmp_path):
    filled = [person for person in exported(film, tmp_path, smooth=True) if person.get("filled")]
    assert [person["frame"] for person in filled] == [12, 13, 14]
    assert len({person["id"] for person in filled}) == 3
    truth = walkers(70, WALK)
    for person in filled:
        joints = np.reshape(person["keypoints"], (17, 3))
        assert (joints[:, 2] == 1).all()
        assert np.abs(joints[:, :2] - truth[person["frame"]].keypoints[0]).max() < 16
        np.testing.assert_allclose(person["bbox"], truth[person["frame"]].bboxes[0], atol=0.5)
        assert person["keypoint_scores"] == [0] * 17


@pytest.mark.parametrize(
    ("aside", "sure", "people"),
    [(3.0, 0.8, 1), (0.0, 0.25, 1), (40.0, 0.8, 2)],
    ids=["sure box, a little off", "weak box", "somebody else"],
)
def test_whose_pose_slipped_is_not_there_twice(film_run, walkers, tmp_path, aside, sure, people):
    """The track skips the frame, whose row has no track then."""
    frames = walkers(30, WALK)
    there, places = frames[15], np.random.default_rng(77).uniform(0, 1, (1, 17, 2))
    bboxes = there.bboxes + np.array([aside, 0, 0, 0])
    keypoints = (bboxes[:, None, :2] + places * bboxes[:, None, 2:]).astype(np.float32)
    scores = np.array([sure], np.float32)
    frames[15] = replace(there, bboxes=bboxes, keypoints=keypoints, bbox_scores=scores)
    run = film_run([frames]).commit()
    follow_run(run.open())
    found = [person for person in exported(run, tmp_path, smooth=True) if person["frame"] == 15]
    assert len(found) == people
    (filled,) = [person for person in found if person.get("filled")]
    assert filled["track_id"] == run.rows()["id"][0].as_py()
    joints = np.reshape(filled["keypoints"], (17, 3))
    np.testing.assert_allclose(joints[:, :2], there.keypoints[0], atol=1)
    assert (joints[:, 2] == 1).all()
    if people == 1:
        raw = np.reshape(filled["keypoints_raw"], (17, 3)).astype(np.float32)
        assert np.array_equal(raw[:, :2], keypoints[0])
        assert filled["bbox"] == bboxes[0].tolist()


def test_gaps_count_the_frames_of_the_run_not_those_of_the_film(film_run, walkers, tmp_path):
    frames = walkers(30, WALK, frozenset([(12, 0)]))
    run = film_run([frames], every=15).commit()
    follow_run(run.open())
    sweep(run.path)
    filled = [person for person in exported(run, tmp_path, smooth=True) if person.get("filled")]
    assert [person["frame"] for person in filled] == [12 * 15]


def test_shard_borders_hardly_show(film_run, walkers, tmp_path):
    frames = walkers(70, WALK)
    rng = np.random.default_rng(0)
    for poses in frames:
        poses.keypoints[...] += rng.normal(size=poses.keypoints.shape) * 5
    found = []
    for size in (5, 70):
        run = film_run([frames], shard_size=size, name=f"run-{size}").commit()
        follow_run(run.open())
        sweep(run.path)
        found.append(np.array([person["keypoints"] for person in exported(run, tmp_path, smooth=True)]))
    assert np.abs(found[0] - found[1]).max() < 1.0


def test_the_deviation_is_a_column(film, tmp_path):
    path = tmp_path / "smoothed.parquet"
    written = FORMATS["smoothed"](film.open(), path)
    rows = pq.read_table(path)
    assert rows.num_rows == written.people == 47 + 3
    assert rows["filled"].to_pylist().count(True) == 3
    assert all(len(sigmas) == 17 and min(sigmas) > 0 for sigmas in rows["keypoint_sigmas"].to_pylist())


def test_nothing_is_smoothed_without_tracks(film_run, walkers, tmp_path):
    run = film_run([walkers(12, WALK)], track=False).commit()
    with pytest.raises(UserError, match=r"--no-track.* `annotator run --from .*/run --track --out OTHER`"):
        exported(run, tmp_path, smooth=True)


def test_nothing_is_smoothed_before_people_are_followed(film_run, walkers, tmp_path):
    """The driver died after its last commit."""
    run = film_run([walkers(12, WALK)]).commit()
    with pytest.raises(UserError, match=r"/data/0\.mp4 .*not followed yet; the same `annotator run` does"):
        exported(run, tmp_path, smooth=True)


@pytest.mark.parametrize("followed", [True, False])
def test_nothing_is_smoothed_before_all_is_done(film_run, walkers, tmp_path, followed):
    run = film_run([walkers(30, WALK)])
    if followed:
        run.commit()
        follow_run(run.open())
        sweep(run.path)
        for generation in (0, 1):
            (run.path / record_name(1, generation)).unlink()
    else:
        run.commit(0, 2)
    with pytest.raises(UserError, match=r"shard 1 of /data/0\.mp4 is not done.*`annotator run` goes on"):
        exported(run, tmp_path, smooth=True)
