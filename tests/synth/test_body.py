"""Bodies stand, lie and walk as bodies do."""

from __future__ import annotations

import numpy as np
import pytest

from annotator.synth.body import FOOT, body_model
from annotator.synth.gait import stride_length, walking_speed
from annotator.synth.motion import Idle, Walk
from annotator.synth.person import place_person
from annotator.synth.poses import relaxed, sample_pose
from annotator.synth.rotation import about, blend, from_vector, vector


def test_rotation_vectors_invert():
    rng = np.random.default_rng(0)
    for angle in (0.0, 1e-4, 40.0, 179.0, 180.0):
        turn = about(rng.normal(size=3), angle)
        assert from_vector(vector(turn)) == pytest.approx(turn, abs=1e-5)
    a, b = about(np.array([1.0, 0, 0]), 10), about(np.array([1.0, 0, 0]), 50)
    assert blend(a, b, 0.25) == pytest.approx(about(np.array([1.0, 0, 0]), 20))


def test_the_lowest_point_is_on_the_ground(adult):
    for seed, name in enumerate(("stand", "walk", "squat", "bend", "lie", "kneel")):
        placed = place_person(adult, sample_pose(np.random.default_rng(seed), name), 0, 4)
        shoes = [v for g, v in zip(adult.garments, placed.hanging, strict=True) if g.kind == "shoe"]
        lowest = min([placed.vertices[:, 2].min()] + [v[:, 2].min() for v in shoes])
        assert -0.03 < lowest < 0.005, name


@pytest.mark.parametrize("name", ["bend", "squat", "stand"])
def test_standing_people_do_not_topple(adult, name):
    """The centre of mass is above the feet, and both soles are near the ground when the feet are flat."""
    body = body_model()
    for seed in range(6):
        placed = place_person(adult, sample_pose(np.random.default_rng(seed), name), 0, 4)
        feet = placed.naked[np.isin(body.vertex_part, FOOT)]
        standing = feet[feet[:, 2] < feet[:, 2].min() + 0.06][:, :2]
        low, high = standing.min(0) - 0.12, standing.max(0) + 0.12
        center = (body.mass @ placed.naked)[:2]
        assert ((center > low) & (center < high)).all(), seed


def test_bending_brings_the_head_forward_and_down(adult):
    upright = adult.shape.height
    for seed in range(6):
        placed = place_person(adult, sample_pose(np.random.default_rng(seed), "bend"), 0, 0)
        nose, hips = placed.keypoints[0], placed.keypoints[[11, 12]].mean(0)
        assert nose[1] < hips[1] - 0.15
        assert nose[2] < 0.92 * upright


def test_lying_people_are_flat(adult):
    for seed in range(6):
        placed = place_person(adult, sample_pose(np.random.default_rng(seed), "lie"), 0, 4)
        trunk = placed.keypoints[[5, 6, 11, 12]]
        assert trunk[:, 2].max() < 0.65
        assert np.ptp(placed.naked[:, :2], axis=0).max() > 0.55 * adult.shape.height


def test_toes_stay_in_the_shoe(adult):
    body = body_model()
    shoes = [g for g in adult.garments if g.kind == "shoe"]
    assert len(shoes) == 2
    for side, shoe in enumerate(shoes):
        foot = adult.rest[(body.vertex_part == FOOT[side]) & (body.leg > 2.05)]
        low, high = shoe.vertices.min(0) - 0.004, shoe.vertices.max(0) + 0.004
        inside = ((foot[:, :2] > low[:2]) & (foot[:, :2] < high[:2])).all(1)
        assert inside.mean() > 0.97


def test_walking_speed_is_that_of_people():
    assert 0.95 < walking_speed(0.80) < 1.5
    assert 0.95 < walking_speed(0.95) < 1.6
    assert walking_speed(0.5) < walking_speed(0.9)


def test_the_standing_foot_hardly_slides(adult):
    upper = relaxed(np.random.default_rng(1), "walk", "ground")
    walk = Walk(adult, (0.0, 5.0), (6.0, 5.0), 0.0, 1.0, upper)
    times = np.arange(0.4, 2.4, 0.04)
    ankles = np.array([walk.at(t).keypoints[15:] for t in times])
    speed = np.abs(np.diff(ankles[:, :, 0], axis=0)) / 0.04
    lower = np.argmin(ankles[:-1, :, 2], axis=1)
    standing = speed[np.arange(len(lower)), lower]
    assert np.median(standing) < 0.35 * walk.speed
    hips = np.array([walk.at(t).keypoints[[11, 12], 0].mean() for t in times])
    assert np.polyfit(times, hips, 1)[0] == pytest.approx(walk.speed, rel=0.05)


def test_a_walk_turns_back_without_a_jump(adult):
    upper = relaxed(np.random.default_rng(1), "walk", "ground")
    walk = Walk(adult, (-1.0, 5.0), (1.0, 5.0), 0.0, 1.0, upper)
    times = np.arange(1.0, 4.5, 1 / 20)
    hips = np.array([walk.at(t).keypoints[[11, 12]].mean(0) for t in times])
    assert np.abs(np.diff(hips, axis=0)).max() < 0.12
    assert 0.8 < hips[:, 0].max() < 1.4 and hips[:, 0].min() > -1.4
    assert stride_length(0.85) < 1.6


def test_idle_people_stay_on_their_spot(adult):
    rng = np.random.default_rng(4)
    first = sample_pose(rng, "stand")
    idle = Idle(adult, (0.5, 4.0), 20.0, (first, sample_pose(rng, "stand")), 1.5)
    joints = np.array([idle.at(t).keypoints for t in np.arange(0, 3.2, 0.1)])
    assert np.linalg.norm(np.diff(joints, axis=0), axis=2).max() < 0.35
    assert np.ptp(joints[:, 11, :2], axis=0).max() < 0.5
