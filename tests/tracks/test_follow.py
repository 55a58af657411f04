"""Identities on crossings with known truth, and the rules of following one by one."""

from __future__ import annotations

import numpy as np
import pytest

from annotator.evaluate.identity import Identities, identity_scores
from annotator.skeletons import COCO_17
from annotator.synth.crowd import Crowd
from annotator.tracks.film import follow_film
from annotator.tracks.follow import Follower
from annotator.tracks.people import FramePeople

SIGMAS = np.array(COCO_17.sigmas)


def people(frame: int, boxes: list, fps: float = 10, sure: bool = True) -> FramePeople:
    """People without joints."""
    bboxes = np.array(boxes, float).reshape(-1, 4)
    count = len(bboxes)
    return FramePeople(
        time=frame / fps,
        bboxes=bboxes,
        sure=np.full(count, sure),
        keypoints=np.zeros((count, 17, 2)),
        located=np.zeros((count, 17), bool),
    )


def follow(frames: list[FramePeople]) -> list[list[int]]:
    return [ids.tolist() for ids in follow_film(frames, SIGMAS)]


def walking(frame: int, x: float = 0.0, speed: float = 8.0) -> list[float]:
    return [x + speed * frame, 100, 60, 160]


# Scores


def test_idf1_of_hand_made_cases():
    def scores(truth: list[list[int]], found: list[list[int]]):
        def frame(ids: list[int]) -> Identities:
            boxes = np.array([[100 * n, 0, 50, 50] for n in range(len(ids))], float).reshape(-1, 4)
            return Identities(np.array(ids, np.int64), boxes)

        return identity_scores((frame(a), frame(b)) for a, b in zip(truth, found, strict=True))

    perfect = scores([[1, 2]] * 4, [[7, 9]] * 4)
    assert (perfect.idf1, perfect.switches) == (1.0, 0)
    swapped = scores([[1, 2]] * 4, [[7, 9], [7, 9], [7, 9], [9, 7]])
    assert (swapped.idf1, swapped.switches) == (0.75, 2)
    # One of two people is never found: 4 of 8 right, nothing wrong.
    half = scores([[1, 2]] * 4, [[7]] * 4)
    assert (half.precision, half.recall, half.idf1) == (1.0, 0.5, pytest.approx(2 / 3))
    split = scores([[1]] * 4, [[7], [7], [8], [8]])
    assert (split.idf1, split.switches) == (0.5, 1)
    assert scores([[1]], [[]]).idf1 == 0.0


def test_boxes_that_do_not_overlap_enough_are_not_the_same_person():
    truth = Identities(np.array([1]), np.array([[0, 0, 100, 100]], float))
    near = Identities(np.array([5]), np.array([[30, 0, 100, 100]], float))
    far = Identities(np.array([5]), np.array([[40, 0, 100, 100]], float))
    assert identity_scores([(truth, near)]).idf1 == 1.0
    assert identity_scores([(truth, far)]).idf1 == 0.0


# Crossings


def crossings(seed: int, missing: float, seconds: float = 16.0, fps: float = 12.5):
    crowd, rng = Crowd(seed), np.random.default_rng(seed)
    truth, frames = [], []
    for number in range(round(seconds * fps)):
        shown = crowd.frame(number / fps)
        truth.append(Identities(shown.identities, shown.bboxes))
        keep = rng.random(len(shown.identities)) >= missing
        noise = 0.01 * shown.bboxes[:, 3] * bool(missing)
        bboxes = shown.bboxes + rng.normal(size=shown.bboxes.shape) * noise[:, None]
        joints = shown.keypoints[..., :2]
        joints = joints + rng.normal(size=joints.shape) * noise[:, None, None]
        frames.append(
            FramePeople(
                time=number / fps,
                bboxes=bboxes[keep],
                sure=np.ones(int(keep.sum()), bool),
                keypoints=joints[keep],
                located=shown.keypoints[keep, :, 2] > 0,
            )
        )
    return truth, frames


def test_crossings_with_true_boxes_keep_their_identities():
    truth, frames = crossings(0, 0.0)
    found = [
        Identities(ids[ids >= 0], people.bboxes[ids >= 0])
        for people, ids in zip(frames, follow_film(frames, SIGMAS), strict=True)
    ]
    assert sum(len(frame.ids) for frame in truth) > 2500
    assert identity_scores(zip(truth, found, strict=True)).idf1 >= 0.97


def test_crossings_with_a_quarter_of_the_detections_missing():
    truth, frames = crossings(0, 0.25)
    found = [
        Identities(ids[ids >= 0], people.bboxes[ids >= 0])
        for people, ids in zip(frames, follow_film(frames, SIGMAS), strict=True)
    ]
    # Nobody can have more than 0.857.
    assert identity_scores(zip(truth, found, strict=True)).idf1 >= 0.83


# Rules


def test_a_short_gap_is_bridged_and_a_long_one_is_not():
    for gap, tracks in ((3, 1), (30, 1), (55, 2), (100, 2)):
        frames = [people(n, [walking(n, speed=1.0)] if n < 20 or n >= 20 + gap else []) for n in range(150)]
        ids = {number for found in follow(frames) for number in found}
        assert len(ids) == tracks, gap


def test_of_two_at_one_place_the_taller_stays_the_taller():
    """Side by side in step; while neither is seen, one overtakes the other by a little."""
    frames = []
    for n in range(60):
        tall, small = walking(n), [8.0 * n + (10 if n < 30 else -10), 108, 60, 144]
        frames.append(people(n, [] if 27 <= n < 30 else [tall, small] if n % 2 else [small, tall]))
    ids = follow(frames)
    assert len({*ids[0]}) == 2
    for n, found in enumerate(ids):
        assert found in ([], ids[1] if n % 2 else ids[1][::-1]), n


def test_nobody_is_taken_for_somebody_elsewhere():
    frames = [
        people(n, [walking(n)] if n < 20 else [walking(n, x=-300)] if n >= 30 else []) for n in range(60)
    ]
    assert len({number for found in follow(frames) for number in found}) == 2


def test_who_comes_in_seconds_later_is_not_who_left():
    """As in the walkers clip: one leaves to the right, 3 s later another comes in, two heights away."""
    frames = [people(n, [walking(n, x=300)] if n < 20 else []) for n in range(52)]
    frames += [people(n, [[230 + 2 * (n - 52), 110, 60, 160]]) for n in range(52, 80)]
    ids = follow(frames)
    assert ids[0] != ids[-1]


def test_of_two_who_may_be_meant_after_a_long_gap_neither_is():
    """One vanishes for 1.5 s; two stand left and right of where that one should be."""
    frames = [people(n, [[300, 100, 60, 160]]) for n in range(20)]
    frames += [people(n, []) for n in range(20, 35)]
    frames += [people(n, [[265, 100, 60, 160], [335, 100, 60, 160]]) for n in range(35, 60)]
    ids = follow(frames)
    assert len({*ids[0], *ids[-1]}) == 3


def test_the_unsure_go_on_with_a_track_but_begin_none():
    frames = [people(n, [walking(n)], sure=n < 5) for n in range(20)]
    assert {number for found in follow(frames) for number in found} == {0}
    frames = [people(n, [walking(n)], sure=False) for n in range(20)]
    assert {number for found in follow(frames) for number in found} == {-1}


def test_flicker_is_no_track():
    frames = [people(n, [walking(n)] if n in (4, 5) else []) for n in range(40)]
    assert {number for found in follow(frames) for number in found} == {-1}


def test_joints_tell_apart_whom_boxes_do_not():
    """Two people meet and turn back: by their boxes alone they would have passed each other."""
    rng = np.random.default_rng(0)
    shape = rng.uniform(0, 1, (2, 17, 2))
    frames = []
    for n in range(41):
        x = 200 - abs(n - 20) * 4.0
        bboxes = np.array([[x, 100, 60, 160], [440 - x, 100, 60, 160]], float)
        frames.append(
            FramePeople(
                time=n / 10,
                bboxes=bboxes,
                sure=np.ones(2, bool),
                keypoints=bboxes[:, None, :2] + shape * bboxes[:, None, 2:],
                located=np.ones((2, 17), bool),
            )
        )
    ids = follow(frames)
    assert ids[0] == ids[-1]


def test_frames_that_were_not_sampled_are_not_missed():
    """Four of 120 frames a second are in the run: who is missed in one of them is looked for all the same."""
    frames = [
        people(number, [walking(number, speed=0.5)] if number != 300 else [], fps=120)
        for number in range(0, 600, 30)
    ]
    follower = Follower(SIGMAS)
    found = [follower.step(shown).tolist() for shown in frames]
    assert found == [[] if place == 10 else [0] for place in range(20)]
    # And a gap that is linked afterwards may be as many frames of the run as of a film that is read whole.
    frames = [
        people(number, [walking(number, speed=0.5)] if not 300 <= number < 450 else [], fps=120)
        for number in range(0, 750, 30)
    ]
    assert {number for ids in follow(frames) for number in ids} == {0}


def test_time_counts_not_the_number_of_frames():
    """The same walk at 10 and at 40 frames a second, and at a rate that varies, is one track."""
    rng = np.random.default_rng(2)
    steps = {
        "10": np.arange(0, 5, 0.1),
        "40": np.arange(0, 5, 0.025),
        "vary": np.cumsum(rng.uniform(0.02, 0.12, 60)),
    }
    for times in steps.values():
        frames = []
        for n, time in enumerate(times):
            found = people(n, [[80 * time, 100, 60, 160]])
            frames.append(FramePeople(float(time), found.bboxes, found.sure, found.keypoints, found.located))
        assert {number for found in follow(frames) for number in found} == {0}


def test_a_film_without_people():
    assert follow([]) == []
    assert follow([people(n, []) for n in range(3)]) == [[], [], []]
