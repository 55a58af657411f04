"""The truth is true: visibility, boxes, areas and joints against scenes whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from annotator.synth import props
from annotator.synth.camera import Camera
from annotator.synth.image import generate_image
from annotator.synth.pattern import Pattern
from annotator.synth.person import place_person, sample_person
from annotator.synth.poses import LIBRARY, sample_pose
from annotator.synth.render import render
from annotator.synth.scene import Prop
from annotator.synth.visibility import annotate

PLAIN = Pattern("solid", np.full(3, 0.5, np.float32), np.full(3, 0.5, np.float32), 10.0, 0.0, 0.5)
NOSE, ANKLES, KNEES = 0, [15, 16], [13, 14]


def plate(y: float, low: float, high: float, width: float = 4.0) -> Prop:
    return Prop(*props.box((0, y, (low + high) / 2), (width, 0.02, high - low)), PLAIN)


def truth_of(scene):
    return annotate(scene, render(scene))


def test_a_person_in_the_open_is_seen(scene, standing):
    (truth,) = truth_of(scene([standing()]))
    assert (truth.keypoints[:, 2] > 0).all()
    seen = truth.keypoints[:, 2] == 2
    assert seen[[0, 1, 2, 5, 6, 11, 12, 13, 14]].all()


def test_a_plate_behind_changes_nothing(scene, standing):
    (alone,) = truth_of(scene([standing()]))
    (before_plate,) = truth_of(scene([standing()], (plate(5.5, 0, 3),)))
    assert np.array_equal(alone.keypoints, before_plate.keypoints)
    assert alone.area == before_plate.area and alone.bbox == before_plate.bbox


def test_a_plate_before_the_legs_hides_them_and_nothing_else(scene, standing):
    person = standing()
    (alone,) = truth_of(scene([person]))
    top = 0.75 * person.keypoints[[11, 12], 2].min()
    (covered,) = truth_of(scene([person], (plate(3.3, -1, top),)))
    assert (covered.keypoints[KNEES + ANKLES, 2] == 1).all()
    assert np.array_equal(covered.keypoints[:, :2], alone.keypoints[:, :2])
    assert np.array_equal(covered.keypoints[:7], alone.keypoints[:7])
    assert covered.area < 0.85 * alone.area
    assert covered.bbox[1] == alone.bbox[1] and covered.bbox[3] < alone.bbox[3] - 20


def test_who_is_wholly_behind_a_plate_is_left_out(scene, standing):
    assert truth_of(scene([standing()], (plate(2.0, -2, 4),))) == []


def test_the_nearer_person_hides_the_farther(scene, standing, adult):
    near, far = standing(0, 3.0), standing(0.12, 4.5)
    (front, back) = truth_of(scene([near, far]))
    (front_alone,) = truth_of(scene([near]))
    (back_alone,) = truth_of(scene([far]))
    assert np.array_equal(front.keypoints, front_alone.keypoints) and front.area == front_alone.area
    assert back.area < 0.8 * back_alone.area
    assert not (front.mask & back.mask).any()
    hidden = (back.keypoints[:, 2] == 1) & (back_alone.keypoints[:, 2] == 2)
    assert hidden.sum() >= 3
    for x, y, _ in back.keypoints[hidden]:
        assert front.mask[round(y), round(x)]
    # The order of the list does not matter, only depth does.
    (again, _) = truth_of(scene([far, near]))
    assert np.array_equal(again.keypoints, back.keypoints)


def test_joints_outside_the_frame_are_absent(scene, standing):
    person = standing()
    camera = Camera(200, 150, 700.0, (0.0, 0.0, 1.45))
    (truth,) = truth_of(scene([person], camera=camera))
    outside = camera.project(person.keypoints)
    inside = (
        (outside[:, 0] >= -0.5) & (outside[:, 0] < 199.5) & (outside[:, 1] >= -0.5) & (outside[:, 1] < 149.5)
    )
    assert 3 <= inside.sum() <= 14
    assert np.array_equal(truth.keypoints[:, 2] > 0, inside)
    assert (truth.keypoints[~inside] == 0).all()
    x, y, w, h = truth.bbox
    assert x >= 0 and y >= 0 and x + w <= 200 and y + h <= 150 and y + h == 150


def test_projection_is_the_pinhole_formula_in_pixel_indices():
    camera = Camera(640, 480, 500.0, (1.0, 2.0, 1.5), pitch=0.0)
    x, y, depth = camera.project(np.array([[1.0, 7.0, 1.5], [2.0, 7.0, 0.5]]))[1]
    assert (x, y, depth) == pytest.approx((320 + 500 / 5 - 0.5, 240 + 500 / 5 - 0.5, 5.0), abs=1e-3)
    rays = camera.rays()
    point = np.array(camera.position) + rays[100, 37] * 3.0
    assert camera.project(point[None])[0] == pytest.approx((37, 100, 3.0), abs=1e-3)
    assert camera.rays_at(np.array([100 * 640 + 37]))[0] == pytest.approx(rays[100, 37])


def test_masks_cover_the_projected_mesh(scene, standing):
    person = standing()
    built = scene([person])
    (truth,) = truth_of(built)
    points = built.camera.project(np.concatenate([person.vertices, *person.hanging]))
    x, y, w, h = truth.bbox
    # The mask covers [x, x + w) in pixel edges; vertex coordinates are pixel centres.
    assert x - 0.5 == pytest.approx(points[:, 0].min(), abs=1.1)
    assert y - 0.5 == pytest.approx(points[:, 1].min(), abs=1.1)
    assert x + w - 0.5 == pytest.approx(points[:, 0].max(), abs=1.1)
    assert y + h - 0.5 == pytest.approx(points[:, 1].max(), abs=1.1)


def test_left_is_the_persons_left(scene, standing):
    (front,) = truth_of(scene([standing(yaw=0)]))
    (back,) = truth_of(scene([standing(yaw=180)]))
    assert front.keypoints[5, 0] > front.keypoints[6, 0] + 10
    assert back.keypoints[5, 0] < back.keypoints[6, 0] - 10
    assert front.keypoints[NOSE, 2] == 2


def test_a_face_seen_from_behind_has_no_joints_and_one_behind_a_plate_has(scene, standing):
    (back,) = truth_of(scene([standing(yaw=180)]))
    assert (back.keypoints[[0, 1, 2]] == 0).all()
    assert (back.keypoints[3:, 2] > 0).all()
    for yaw in (90, -90):
        (side,) = truth_of(scene([standing(yaw=yaw)]))
        assert side.keypoints[NOSE, 2] == 2 and (side.keypoints[:, 2] > 0).all()
    (covered,) = truth_of(scene([standing()], (plate(3.3, 1.2, 3),)))
    assert (covered.keypoints[[0, 1, 2], 2] == 1).all()


@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_joints_lie_in_the_body_in_every_pose(adult, name):
    placed = place_person(adult, sample_pose(np.random.default_rng(5), name), 0, 4)
    for joint, point in enumerate(placed.keypoints):
        away = np.linalg.norm(placed.naked - point, axis=1).min()
        assert away < (0.03 if joint < 5 else 0.12), joint
    upper = np.linalg.norm(placed.keypoints[7] - placed.keypoints[5])
    assert upper == pytest.approx(np.linalg.norm(adult_rest(adult)[7] - adult_rest(adult)[5]), rel=0.25)


def adult_rest(adult):
    from annotator.synth.body import body_model

    return body_model().keypoints(adult.shape.vertices)


def test_annotations_agree_with_their_masks():
    from pycocotools import mask as rle

    people = 0
    for index in range(6):
        pixels, annotations = generate_image(21, index, (160, 120))
        assert pixels.shape == (120, 160, 3) and pixels.dtype == np.uint8
        taken = np.zeros((120, 160), int)
        for annotation in annotations:
            people += 1
            mask = rle.decode(annotation["segmentation"]).astype(bool)
            taken += mask
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            x, y, w, h = annotation["bbox"]
            assert annotation["area"] == mask.sum() >= 20
            assert (x, y, x + w, y + h) == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            keypoints = np.array(annotation["keypoints"]).reshape(17, 3)
            assert annotation["num_keypoints"] == (keypoints[:, 2] > 0).sum()
            assert (keypoints[keypoints[:, 2] == 0] == 0).all()
            for px, py, v in keypoints:
                if v == 2:  # what is seen is on the person, within the blur of half a pixel
                    r, c = round(py), round(px)
                    near = mask[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2]
                    assert near.any()
        assert taken.max(initial=0) <= 1
    assert people >= 6


def test_an_empty_scene_has_no_annotations():
    pixels, annotations = generate_image(1, 0, (96, 64), people=0)
    assert annotations == [] and pixels.std() > 0


def test_people_differ():
    rng = np.random.default_rng(2)
    people = [sample_person(rng) for _ in range(12)]
    heights = [p.shape.height for p in people]
    assert max(heights) - min(heights) > 0.15
    assert len({p.outfit.hair.style for p in people}) >= 4
