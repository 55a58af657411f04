"""The queue and its curve, on runs and rankings made to order."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from annotator.cli.queue import queue as command
from annotator.errors import UserError
from annotator.people import Poses
from annotator.quality.curve import NothingToFindError, review_curve
from annotator.quality.missed import probably_missed
from annotator.quality.queue import as_table, mean_rank, rank
from annotator.quality.reviewed import reviewed, seconds_a_person, undecided, verdicts
from annotator.quality.signals import measured
from annotator.skeletons import COCO_17
from annotator.store.reader import Run
from annotator.store.reviewed import ReviewedRun
from annotator.store.reviews import Review, write_layer
from annotator.store.storage import storage_at

FAR = 300.0


def judged(people, places: list[float], scores: list[float], entropies: list[float] | None = None) -> Poses:
    """People in a row, with signals; `scores` are those of boxes and joints alike."""
    poses = people([[x, 10, 100, 200] for x in places], scores=scores)
    if entropies is not None:
        spread = np.repeat(np.array(entropies, np.float32)[:, None], 17, axis=1)
        poses = replace(poses, keypoint_entropies=spread)
    return measured(poses, COCO_17, (192, 256))


@pytest.fixture
def run(make_run, picture, people):
    """Two images: a good and a doubtful person; a phantom far from the sure one, and one upon him."""
    return make_run(
        [
            picture("a.jpg", judged(people, [0, FAR], [0.9, 0.5], [2.0, 4.0])),
            picture("b.jpg", judged(people, [0, FAR, 5], [0.8, 0.1, 0.05], [3.0, 6.0, 6.0])),
            picture("c.jpg"),
        ]
    ).commit()


def test_the_worst_come_first_and_phantoms_not_at_all(run) -> None:
    found = rank(run.open())
    assert found.signals == ("score", "entropy")
    assert found.shown.tolist() == [True, True, True, False, False]
    assert found.ids[found.order].tolist() == [2, 1 << 12 | 1, 1]
    assert found.risk[found.order] == pytest.approx([5 / 6, 3 / 6, 1 / 6])
    everybody = rank(run.open(), ("person",), everybody=True)
    assert everybody.ids[everybody.order][:2].tolist() == [1 << 12 | 3, 1 << 12 | 2]


def test_the_table_tells_who_and_why(run) -> None:
    table = as_table(run.open(), rank(run.open()))
    assert table.column_names == [
        "place", "id", "image_id", "file_name", "risk", "pose_score", "entropy", "duplicate_of",
        "likely_swap",
    ]  # fmt: skip
    assert table["file_name"].to_pylist() == ["a.jpg", "b.jpg", "a.jpg"]
    assert table["entropy"].to_pylist() == pytest.approx([4.0, 3.0, 2.0])


def test_ranks_share_ties_and_know_no_nan() -> None:
    assert mean_rank(np.array([5, 1, 5, np.nan])).tolist() == pytest.approx([2 / 3, 1 / 6, 2 / 3, 0.5])


def test_what_cannot_be_ranked_is_said(make_run, picture, people) -> None:
    plain = make_run([picture("a.jpg", people([[0, 0, 10, 10]]))]).commit().open()
    with pytest.raises(UserError, match="has none of score, entropy, flip"):
        rank(plain)
    with pytest.raises(UserError, match="no signal 'beauty'"):
        rank(plain, ("beauty",))


def test_a_perfect_queue_reaches_the_ceiling() -> None:
    rng = np.random.default_rng(0)
    bad = rng.uniform(size=1000) < 0.25
    curve = review_curve(bad + rng.uniform(0, 0.5, 1000), bad, np.arange(1000) // 5)
    assert curve.base_rate == pytest.approx(bad.mean()) and curve.images == 200
    assert curve.auroc == (1, 1, 1)
    for one in curve.at:
        assert one.found == pytest.approx(one.ceiling, abs=0.02) and one.of_ceiling == pytest.approx(
            1, abs=0.02
        )


def test_a_queue_in_any_order_finds_the_base_rate() -> None:
    rng = np.random.default_rng(1)
    bad = rng.uniform(size=2000) < 0.2
    curve = review_curve(rng.uniform(size=2000), bad, np.arange(2000) // 4)
    for one in curve.at:
        assert one.low < one.share < one.high
    assert curve.auroc[1] < 0.5 < curve.auroc[2]


def test_intervals_are_wider_when_people_of_an_image_are_alike() -> None:
    rng = np.random.default_rng(2)
    bad_image = rng.uniform(size=100) < 0.3
    bad = np.repeat(bad_image, 10)
    risk = bad + rng.normal(0, 1.0, 1000)
    together = review_curve(risk, bad, np.repeat(np.arange(100), 10)).at[1]
    apart = review_curve(risk, bad, np.arange(1000)).at[1]
    assert together.found == apart.found
    assert together.high - together.low > 1.3 * (apart.high - apart.low)


def test_no_curve_without_both_kinds() -> None:
    with pytest.raises(NothingToFindError, match="0 of 3 labels"):
        review_curve(np.arange(3), np.zeros(3, bool), np.arange(3))


def test_a_phantom_that_is_nobody_shown_may_be_somebody_missed(run) -> None:
    (only,) = probably_missed(run.open())
    assert (only.file_name, only.candidates) == ("b.jpg", 1)
    assert only.strongest == pytest.approx(0.1)


def test_people_of_another_run_are_missed_here(make_run, picture, people, tmp_path) -> None:
    from tests.conftest import MadeRun

    mine = make_run([picture("a.jpg", judged(people, [0], [0.9])), picture("b.jpg")]).commit()
    pictures = [
        picture("a.jpg", judged(people, [5, FAR], [0.9, 0.6])),
        picture("b.jpg", judged(people, [0], [0.7])),
    ]
    other = MadeRun(tmp_path / "other", pictures, 2).commit()
    found = probably_missed(mine.open(), other.open())
    assert [(one.file_name, one.candidates) for one in found] == [("b.jpg", 1), ("a.jpg", 1)]
    strangers = MadeRun(tmp_path / "third", [picture("z.jpg", pictures[0].people, image_id=5)], 2).commit()
    with pytest.raises(UserError, match="no image in common"):
        probably_missed(mine.open(), strangers.open())


def test_reviews_tell_what_was_bad_and_how_long_it_took(run) -> None:
    opened = run.open()
    assert seconds_a_person(opened) is None and undecided(opened, rank(opened)) == 3
    (batch, *_) = opened.instances(["keypoints"])
    moved = np.array(batch["keypoints"][1].as_py(), np.float32).reshape(17, 3)
    moved[:9, 0] += 500
    write_layer(
        opened,
        [
            Review(1, 1000, "accepted", None, "ann", "2026-01-01T10:00:00+00:00"),
            Review(
                2, 1000, "accepted", None, "ann", "2026-01-01T10:00:08+00:00",
                keypoints=tuple(moved.ravel().tolist()), corrected_by="ann",
                corrected_at="2026-01-01T10:00:07+00:00",
            ),
            Review(1 << 12 | 1, 1001, "rejected", "nobody there", "ann", "2026-01-01T10:00:20+00:00"),
        ],
    )  # fmt: skip
    known, bad = verdicts(opened, 0.75)
    assert known.tolist() == [True, True, True, False, False]
    assert bad.tolist() == [False, True, True, False, False]
    assert seconds_a_person(opened) == 10 and undecided(opened, rank(opened)) == 0
    joints = reviewed(opened)
    assert joints.matched.tolist() == [True, True, False, False, False]
    assert joints.right.sum(axis=1).tolist() == [17, 8, 0, 0, 0]


def test_only_what_was_accepted_or_corrected_is_right(make_run, picture, people) -> None:
    opened = make_run([picture("a.jpg", people([[1, 1, 20, 30]] * 8))]).commit().open()
    (batch, *_) = opened.instances(["keypoints"])
    left = tuple(np.array(batch["keypoints"][5].as_py(), np.float32).tolist())
    when, later = "2026-01-01T10:00:00.000Z", "2026-01-01T11:00:00.000Z"
    layer = [
        Review(1, 1000, "accepted", None, "ann", when),
        Review(2, 1000, "sent back", None, "ann", when),
        Review(3, 1000, None, None, "ann", when),  # withdrawn
        Review(4, 1000, "accepted", None, "ann", when, None, "ann", later, flags=("broken",)),
        Review(5, 1000, "rejected", "other", "ann", when),
        Review(6, 1000, keypoints=left, corrected_by="ann", corrected_at=when),
        # The predictions have changed since.
        Review(7, 1000, "accepted", None, "ann", when, flags=("stale",)),
        Review(8, 1000, "rejected", "other", "ann", when, flags=("stale",)),
    ]
    write_layer(opened, layer)
    assert reviewed(opened).right.sum(axis=1).tolist() == [17, 0, 0, 0, 0, 17, 0, 0]
    known, bad = verdicts(opened, 0.75)
    assert known.tolist() == [True, True, False, False, True, True, False, False]
    assert bad.tolist() == [False, True, False, False, True, False, False, False]


def test_a_run_in_an_object_store_is_ranked_with_its_reviews(run, bucket, capsys) -> None:
    write_layer(run.open(), [Review(1, 1000, "accepted", None, "ann", "2026-01-01T10:00:00+00:00")])
    there = storage_at(f"{bucket}/run")
    for path in sorted(run.path.rglob("*")):
        if path.is_file():
            there.add(path.relative_to(run.path).as_posix(), path.read_bytes())
    command(f"{bucket}/run", "score,entropy,flip", False, 2, None, None, False, 0.75, None, None, None, True)
    told = json.loads(capsys.readouterr().out)
    assert (told["people"], told["undecided"]) == (3, 2)
    assert len(list(ReviewedRun(Run(f"{bucket}/run"), "accepted").instances())) > 0


def test_what_reviewers_left_can_be_calibrated_on(make_run, picture, people, tmp_path, capsys) -> None:
    from annotator.cli.calibrate import calibrate
    from annotator.quality.calibration import read_calibration

    sure = [picture(f"{i}.jpg", judged(people, [0, FAR], [0.9, 0.4])) for i in range(12)]
    opened = make_run(sure, shard_size=4).commit().open()
    with pytest.raises(UserError, match="too few"):
        calibrate([str(opened.path)], None, True, tmp_path / "c.json", None, False, False)
    layer = []
    for batch in opened.instances(["id", "image_id", "keypoints", "score"]):
        for row in batch.to_pylist():
            moved = np.array(row["keypoints"], np.float32).reshape(17, 3)
            moved[:, 0] += 0 if row["score"] > 0.5 else 400
            when = "2026-01-01T10:00:00+00:00"
            layer.append(
                Review(
                    row["id"], row["image_id"], "accepted", None, "ann", when,
                    keypoints=tuple(moved.ravel().tolist()), corrected_by="ann", corrected_at=when,
                )
            )  # fmt: skip
    write_layer(opened, layer)
    calibrate([str(opened.path)], None, True, tmp_path / "c.json", None, False, True)
    told = json.loads(capsys.readouterr().out)
    assert told["people"] == 24 and told["right"] == 0.5 and told["ground_truth"] == "reviews"
    probs = read_calibration(tmp_path / "c.json")(np.repeat([[0.9], [0.4]], 17, axis=1))
    assert probs[0].min() > 0.99 and probs[1].max() < 0.01
    with pytest.raises(UserError, match="one truth"):
        calibrate([str(opened.path)], None, False, tmp_path / "c.json", None, False, True)


def test_the_command(run, tmp_path, capsys) -> None:
    to, curve = tmp_path / "queue.parquet", tmp_path / "curve.png"
    options = {
        "by": "score,entropy,flip",
        "everybody": False,
        "gt": None,
        "reviews": False,
        "bad_below": 0.75,
    }
    with pytest.raises(UserError, match="a curve needs a truth"):
        command(str(run.path), to=None, top=2, curve=curve, pace=6.0, other=None, as_json=True, **options)
    command(str(run.path), to=to, top=2, curve=None, pace=6.0, other=None, as_json=True, **options)
    told = json.loads(capsys.readouterr().out)
    assert told["people"] == 3 and len(told["queue"]) == 2 and told["queue"][0]["id"] == 2
    assert told["minutes_left"] == pytest.approx(0.3) and told["curve"] is None
    assert pq.read_table(str(to)).num_rows == 3
    command(str(run.path), to=None, top=2, curve=None, pace=None, other=None, as_json=False, **options)
    text = capsys.readouterr().out
    assert "2 likely phantoms and suppressed doubles are not ranked" in text
    assert "at least half and the worst 30% at least 70%" in text


def test_without_a_bad_label_there_is_a_queue_but_no_curve(run, tmp_path, capsys) -> None:
    when = "2026-01-01T10:00:00+00:00"
    write_layer(run.open(), [Review(1, 1000, "accepted", None, "ann", when)])
    to, curve = tmp_path / "queue.parquet", tmp_path / "curve.png"
    why = "0 of 1 labels with truth are bad, so there is no curve to draw"
    for as_json in (True, False):
        command(
            str(run.path),
            "score",
            False,
            2,
            to,
            None,
            True,
            0.75,
            curve,
            pace=None,
            other=None,
            as_json=as_json,
        )
        text = capsys.readouterr().out
        if as_json:
            told = json.loads(text)
            assert (told["people"], told["curve"], told["no_curve"]) == (3, None, why)
        else:
            assert "3 people by score" in text and why in text
        assert pq.read_table(str(to)).num_rows == 3 and not curve.exists()
        to.unlink()
