"""The line: people of several batches in one pass, outcomes in order, failures alone, huge images early."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

from annotator.errors import ItemError
from annotator.items import GivenBox, Item
from annotator.media.image import Image, ImageLimits, read_image
from annotator.models.estimator import Estimator
from annotator.people import Detections, Poses
from annotator.runtime.line import Decoded, StageClock, annotate
from annotator.skeletons import COCO_17


class Models(Estimator):
    """As many people in an image as its first pixel says; keypoints fail where it says 99."""

    skeleton = COCO_17
    batch_people = 4

    def __init__(self) -> None:
        self.detected: list[int] = []
        self.posed: list[int] = []

    def prepare(self, image):
        return int(image[0, 0, 0])

    def detect(self, inputs):
        self.detected.append(len(inputs))
        return [
            Detections(np.tile([1.0, 2, 9, 9], (count % 98, 1)), np.ones(count % 98, np.float32))
            for count in inputs
        ]

    def estimate(self, images, boxes):
        self.posed.append(sum(map(len, boxes)))
        if any(image[0, 0, 0] == 99 for image in images):
            raise RuntimeError("no")
        return [self._poses(len(one), int(image[0, 0, 0])) for image, one in zip(images, boxes, strict=True)]

    def _poses(self, n, value):
        joints = len(COCO_17)
        points = np.full((n, joints, 2), value, np.float32)
        return Poses(
            np.ones((n, 4)),
            np.ones(n, np.float32),
            points,
            np.ones((n, joints), np.float32),
            np.ones(n, np.float32),
        )


def entries(counts, models, side=4):
    for index, count in enumerate(counts):
        item = Item(index, index, f"{index}", f"{index}", 0)
        if count is None:
            yield item, ItemError("decode", "broken", "x")
            continue
        pixels = np.full((side, side, 3), count, np.uint8)
        yield item, Decoded(Image(pixels, side, side), models.prepare(pixels))


def run(counts, batch_images=2, **options):
    models, clock = Models(), StageClock()
    outcomes = list(annotate(entries(counts, models), models, models, batch_images, clock, **options))
    assert [outcome.item.index for outcome in outcomes] == list(range(len(counts)))
    return models, clock, outcomes


class Finder(Estimator):
    """The one bright rectangle of a picture: its edges are the box, its centre is every joint."""

    skeleton = COCO_17
    batch_people = 4
    boxes: list[np.ndarray]

    def __init__(self) -> None:
        self.boxes = []

    def prepare(self, image):
        return image

    def detect(self, inputs):
        return [
            Detections(np.array([[xs[0], ys[0], xs[-1] + 1, ys[-1] + 1]], np.float64), np.ones(1, np.float32))
            for image in inputs
            for ys, xs in [[np.flatnonzero(side) for side in self._bright(image)]]
        ]

    def estimate(self, images, boxes):
        self.boxes += [one.bboxes for one in boxes]
        return [self._poses(image, one) for image, one in zip(images, boxes, strict=True)]

    @staticmethod
    def _bright(image):
        bright = image[..., 0] > 128
        return bright.any(axis=1), bright.any(axis=0)

    def _poses(self, image, found):
        centre = [np.flatnonzero(side).mean() for side in self._bright(image)][::-1]
        points = np.tile(np.array(centre, np.float32), (1, len(COCO_17), 1))
        return Poses(
            np.concatenate([found.bboxes[:, :2], found.bboxes[:, 2:] - found.bboxes[:, :2]], axis=1),
            found.scores,
            points,
            np.ones((1, len(COCO_17)), np.float32),
            found.scores,
            halves=np.stack([points, points], axis=1),
        )


@pytest.mark.parametrize("name", ["large.png", "large.jpg"])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(("above", "scale"), [(64 * 96, 1), (64 * 96 // 4, 2), (64 * 96 // 16, 4), (1, 8)])
def test_people_of_a_large_picture_are_where_they_are_in_it(tmp_path, above, scale, given, name) -> None:
    """Boxes end at edges of pixels, joints are measured from the centre of the first one: to and fro."""
    full = np.zeros((64, 96, 3), np.uint8)
    full[16:48, 24:40] = 255
    path = tmp_path / name
    PIL.Image.fromarray(full).save(path, quality=95)
    image = read_image(str(path), ImageLimits(reduce_above=above))
    assert image.scale == scale
    item, finder = Item(0, 0, str(path), path.name, 0), Finder()
    if given:
        item = replace(item, boxes=(GivenBox((24.0, 16.0, 16.0, 32.0), None),))
    entry = (item, Decoded(image, finder.prepare(image.pixels)))
    (outcome,) = annotate([entry], finder, finder, 1, StageClock())
    poses = outcome.result
    assert isinstance(poses, Poses) and poses.halves is not None
    assert finder.boxes[0].tolist() == [[24 / scale, 16 / scale, 40 / scale, 48 / scale]]
    assert poses.bboxes.tolist() == [[24, 16, 16, 32]]
    assert (poses.keypoints == (31.5, 31.5)).all() and (poses.halves == (31.5, 31.5)).all()


def test_people_of_several_batches_fill_a_pass() -> None:
    counts = [1, 0, 1, 1, 1, 0, 3, 3, 2]
    models, clock, outcomes = run(counts)
    assert models.detected == [2, 2, 2, 2, 1] and models.posed == [4, 6, 2]
    assert [len(outcome.result) for outcome in outcomes] == counts
    assert (clock.images, clock.detected, clock.people) == (9, 9, sum(counts))


def test_images_without_people_do_not_wait_for_ever() -> None:
    models, _, outcomes = run([0] * 20)
    assert len(outcomes) == 20 and models.posed == [0, 0, 0]


def test_huge_images_end_a_batch_early() -> None:
    models, _, _ = run([1] * 4, batch_images=8, max_bytes=2 * 4 * 4 * 3)
    assert models.detected == [2, 2] and models.posed == [2, 2]


def test_a_failure_costs_nobody_else() -> None:
    _, clock, outcomes = run([1, None, 99, 2])
    assert [type(outcome.result) for outcome in outcomes] == [Poses, ItemError, ItemError, Poses]
    assert (clock.errors, clock.people, outcomes[2].result.stage) == (2, 3, "pose")
    assert clock.error_kinds == {"decode/broken": 1, "pose/RuntimeError": 1}


def test_people_who_are_dropped_were_posed_all_the_same() -> None:
    _, clock, _ = run([3, 1, 0], judge=lambda poses: poses.of(np.arange(len(poses)) < 1))
    assert (clock.posed, clock.people) == (4, 2)


def test_around_is_entered_for_the_detector_and_for_all_who_are_posed() -> None:
    seen = []

    @contextmanager
    def around(items):
        seen.append([item.index for item in items])
        yield

    run([1, 1, 1, 1], around=around)
    assert seen == [[0, 1], [2, 3], [0, 1, 2, 3]]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_is_nothing(count: int) -> None:
    _, clock, outcomes = run([3] * count)
    assert len(outcomes) == count and clock.people == 3 * count
