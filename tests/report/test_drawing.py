"""Skeletons land where the joints are, in the colour of their side, solid or hollow by v."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from annotator.media.image import Image
from annotator.report.drawing import LEFT, MIDDLE, RIGHT, draw_people, side_colours
from annotator.report.thumbnails import TILE, TILE_BYTES, _jpeg, person_tile, picture_tile
from annotator.skeletons import COCO_17, Skeleton

GREY = 90


def standing(x: float, y: float, height: float, v: int = 2) -> np.ndarray:
    """A person of COCO's joints: left joints at x + h/6, right ones at x - h/6, from head to ankles."""
    names = ("nose", "eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    levels = dict(zip(names, (0.08, 0.05, 0.06, 0.2, 0.35, 0.5, 0.55, 0.75, 1), strict=True))
    person = np.zeros((17, 3))
    for k, name in enumerate(COCO_17.keypoints):
        side = {"left": 1 / 6, "right": -1 / 6}.get(name.split("_")[0], 0)
        person[k] = (x + side * height, y + levels[name.split("_")[-1]] * height, v)
    return person


def canvas(height=400, width=300):
    return np.full((height, width, 3), GREY, np.uint8)


def at(pixels, person, name):
    x, y = person[COCO_17.keypoints.index(name), :2]
    return tuple(int(c) for c in pixels[round(y), round(x)])


def test_joints_have_the_colour_of_their_side():
    person = standing(150, 40, 300)
    drawn = draw_people(canvas(), person[None], COCO_17)
    assert at(drawn, person, "left_wrist") == LEFT
    assert at(drawn, person, "right_ankle") == RIGHT
    assert at(drawn, person, "nose") == MIDDLE


def test_hidden_joints_are_hollow_and_unlabelled_ones_absent():
    person = standing(150, 40, 300)
    wrist, ankle = COCO_17.keypoints.index("left_wrist"), COCO_17.keypoints.index("right_ankle")
    person[wrist] += (40, 0, -1)
    person[ankle, 2] = 0
    drawn = draw_people(canvas(), person[None], COCO_17)
    assert at(drawn, person, "left_wrist") == (GREY,) * 3, "the middle of the ring is the picture"
    x, y = person[wrist, :2].astype(int)
    ring = drawn[y - 10 : y + 11, x - 10 : x + 11].reshape(-1, 3)
    assert (ring == LEFT).all(axis=1).any(), "the ring is there"
    x, y = person[ankle, :2].astype(int)
    assert (drawn[y - 12 : y + 13, x - 12 : x + 13] == GREY).all()


def test_the_picture_itself_is_left_alone():
    pixels = canvas()
    drawn = draw_people(pixels, standing(150, 40, 300)[None], COCO_17)
    assert (pixels == GREY).all()
    assert drawn.shape == pixels.shape
    assert (drawn != GREY).any()


def test_joints_far_outside_do_no_harm():
    person = standing(150, 40, 300)
    person[9] = (1e9, -1e9, 2)
    draw_people(canvas(), person[None], COCO_17)


def test_sides_of_a_skeleton_without_telling_names():
    skeleton = Skeleton("letters", ("a", "b", "c"), ((0, 1),), (1, 0, 2), (0.1, 0.1, 0.1))
    assert side_colours(skeleton) == [LEFT, RIGHT, MIDDLE]


@pytest.mark.parametrize("reduced", [1, 2])
@pytest.mark.parametrize(("x", "y"), [(800, 300), (120, 60), (1500, 800)])
def test_a_tile_shows_its_person(x, y, reduced):
    """A white patch around the wrist in the source is behind the wrist in the tile."""
    person = standing(x, y, 240)
    full = np.full((1200, 1600, 3), GREY, np.uint8)
    cx, cy = (int(value) for value in person[COCO_17.keypoints.index("left_wrist"), :2])
    full[cy - 16 : cy + 17, cx - 16 : cx + 17] = 255
    pixels = cv2.resize(full, (1600 // reduced, 1200 // reduced), interpolation=cv2.INTER_AREA)
    image = Image(pixels, 1600, 1200, reduced)
    bbox = np.array([x - 50, y, 100, 250.0])
    alone = person * (np.arange(17) == COCO_17.keypoints.index("left_wrist"))[:, None]
    tile = person_tile(image, bbox, alone, COCO_17)
    assert tile.shape[1] <= TILE[0]
    assert tile.shape[0] <= TILE[1]
    dot_y, dot_x = np.argwhere((abs(tile.astype(int) - LEFT) < 8).all(axis=2)).mean(axis=0)
    patch_y, patch_x = np.argwhere((abs(tile.astype(int) - GREY) > 8).any(axis=2)).mean(axis=0)
    assert (dot_x, dot_y) == pytest.approx((patch_x, patch_y), abs=2.5)


def test_a_whole_picture_is_not_enlarged():
    image = Image(canvas(), 300, 400)
    assert picture_tile(image, [standing(150, 40, 300)], COCO_17).shape == (400, 300, 3)


def test_somebody_without_a_visible_joint_has_a_frame_in_a_whole_picture():
    image = Image(canvas(), 600, 800, 2)
    nobody = np.zeros((17, 3))
    tile = picture_tile(image, [nobody], COCO_17, [np.array([100, 200, 300, 400.0])])
    y, x = np.nonzero((tile == MIDDLE).all(axis=2))
    assert (x.min(), y.min(), x.max(), y.max()) == pytest.approx((50, 100, 200, 300), abs=1)
    assert (tile[110:290, 60:190] == canvas()[110:290, 60:190]).all()


def test_a_busy_tile_stays_small():
    noise = np.random.default_rng(0).integers(0, 256, (TILE[1], TILE[0], 3), dtype=np.uint8)
    assert len(_jpeg(noise, TILE_BYTES)) <= TILE_BYTES
