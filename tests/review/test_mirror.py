"""Poses as lines, and back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from annotator.review.identifiers import Identifiers, Kind, person_of
from annotator.review.mirror import Mirror, mirror_of, to_fractions, to_pixels
from annotator.skeletons import COCO_17, Skeleton
from annotator.store.person_ids import item_of
from annotator.store.schema import instance_ids


def skeleton(joints: int, *edges: tuple[int, int]) -> Skeleton:
    names = tuple(f"joint{n}" for n in range(joints))
    return Skeleton("custom", names, edges, tuple(range(joints)), (0.1,) * joints)


@pytest.mark.parametrize(
    "of",
    [
        COCO_17,
        skeleton(5, (0, 1), (1, 2), (1, 3), (3, 4)),
        skeleton(4),
        skeleton(6, (0, 1), (0, 2), (0, 3), (0, 4), (0, 5)),
    ],
)
def test_each_joint_is_one_vertex_of_a_line_that_can_be_seen(of: Skeleton) -> None:
    mirror = mirror_of(of)
    assert sorted(joint for chain in mirror.chains for joint in chain) == list(range(len(of)))
    assert all(len(chain) > 1 for chain in mirror.chains)
    points = np.random.default_rng(1).uniform(-0.5, 1.5, (len(of), 2))
    back = mirror.to_points(mirror.to_lines(points))
    assert back is not None and np.array_equal(back, points)


def test_lines_of_coco_follow_its_limbs() -> None:
    edges = {frozenset(edge) for edge in COCO_17.edges}
    for chain in mirror_of(COCO_17).chains:
        assert all(frozenset(pair) in edges for pair in pairwise(chain))


def test_a_vertex_more_or_less_is_not_guessed_at() -> None:
    mirror = Mirror(((0, 1), (2, 3)))
    lines = np.arange(8.0).reshape(2, 2, 2).tolist()
    assert mirror.to_points([lines[0], lines[1][:1]]) is None
    assert mirror.to_points([[*lines[0], [1, 1]], lines[1]]) is None
    assert mirror.to_points(lines[:1]) is None
    # As many vertices in all, but on other lines.
    assert mirror.to_points([[*lines[0], lines[1][0]], lines[1][1:]]) is None
    assert mirror.to_points([[[np.nan, 1], [1, 1]], lines[1]]) is None


def test_pixels_come_back_within_a_millionth_of_the_image() -> None:
    xy = np.random.default_rng(2).uniform(-50, 4050, (1000, 2)).astype(np.float32)
    size = (4000, 3000)
    back = to_pixels(to_fractions(xy, size), size)
    assert np.abs((back - xy) / size).max() < 1e-12
    # The centre of the top-left pixel is half a pixel from the corner.
    assert np.allclose(to_fractions(np.zeros(2), size) * size, 0.5)


def test_identifiers_name_the_person_and_are_the_same_every_time() -> None:
    a, b = Identifiers(b"abc"), Identifiers(b"abd")
    person = instance_ids(2**40 - 1, 4000)[-1]
    assert a.of(Kind.POSE, person) == Identifiers(b"abc").of(Kind.POSE, person) != b.of(Kind.POSE, person)
    assert len({a.of(kind, person) for kind in Kind}) == len(Kind)
    for kind in (Kind.BOX, Kind.KEYPOINTS, Kind.POSE, Kind.INSTANCE):
        assert person_of(str(a.of(kind, person))) == person
    assert person_of(a.of(Kind.TRUTH_BOX, person)) is None and person_of(a.of(Kind.SAMPLE, 7)) is None
    assert item_of(person) == 2**40 - 1
