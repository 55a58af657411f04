"""Make what the demo models are trained on: arrays that training maps into memory, a hundred pictures a part.

    python jobs/train_demo/make_arrays.py DATA --images 12000

A part that is there is kept: the command can be repeated, spread over machines by `--first`, and training
begun on the parts that are finished. The pictures themselves are not kept; `annotator synth` shows such.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from nobody import empty_box, shows_something

from annotator.pose.boxes import bbox_to_center_scale
from annotator.pose.crops import warp_matrices
from annotator.synth.body import CLOTH, HAIR
from annotator.synth.exposure import expose
from annotator.synth.render import SUPERSAMPLING, Frame, render
from annotator.synth.scene import sample_scene
from annotator.synth.seeds import IMAGES, generator
from annotator.synth.spread import over_processes, single_threaded
from annotator.synth.visibility import Truth, annotate

SIZE = (480, 360)  # of a scene, width and height in pixels
PART = 100  # pictures
QUALITY, ELSEWHERE = 3, 4  # random streams of the JPEG quality, and of the box that holds nobody
PICTURE_SIZE = (400, 300)  # as the detector's training reads it
PERSON_SIZE = (144, 192)  # of a crop
PARTS_SIZE = (72, 96)  # of a crop's map of body parts
PADDING = 1.25 * 1.35  # of the box: what the model sees, and what turning and scaling may bring in
SMALLEST = 14  # pixels of the longer side of a box; below it there is nothing to learn joints from
FEWEST = 3  # joints inside the picture
PIXELS, PARTS, LABELS = "pixels.npy", "parts.npy", "labels.npz"
PEOPLE, NOBODY, PICTURES = "people", "nobody", "pictures"  # folders of parts

# Classes of a map of body parts: 0 for all that is not this person, then the body model's 15 parts.
CLASSES = 18
_CLASS = np.zeros(256, np.uint8)
_CLASS[:15] = np.arange(1, 16)
_CLASS[[CLOTH, HAIR]] = 16, 17


class Person(NamedTuple):
    """One person cut out of a picture.

    Attributes:
        pixels: (192, 144, 3) uint8 BGR. parts: (96, 72) uint8 classes.
        keypoints: (17, 3) x, y in the crop's pixels, and visibility. bbox: (4,) x1 y1 x2 y2 in them.
    """

    pixels: np.ndarray
    parts: np.ndarray
    keypoints: np.ndarray
    bbox: np.ndarray


class Nobody(NamedTuple):
    """A box that holds nobody, cut out like a person: pixels (192, 144, 3) uint8, bbox (4,) x1 y1 x2 y2."""

    pixels: np.ndarray
    bbox: np.ndarray


class Picture(NamedTuple):
    """A picture (300, 400, 3) uint8 BGR, all boxes (N, 4) in its pixels, people to learn from, and nobody."""

    pixels: np.ndarray
    boxes: np.ndarray
    people: list[Person]
    nobody: list[Nobody]


def make_picture(job: tuple[int, int]) -> Picture:
    """Picture number `index` of the collection `seed`."""
    single_threaded()
    seed, index = job
    rng = generator(seed, IMAGES, index)
    scene = sample_scene(rng, *SIZE)
    frame = render(scene)
    pixels = compressed(expose(rng, frame.pixels), int(generator(seed, QUALITY, index).integers(55, 97)))
    truths = annotate(scene, frame)
    boxes = np.array([truth.bbox for truth in truths], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    factor = np.array(PICTURE_SIZE, np.float32) / SIZE
    people = [cut_out(pixels, frame, truth) for truth in truths if is_worth_learning(truth)]
    nobody = without_people(generator(seed, ELSEWHERE, index), pixels, boxes)
    small = cv2.resize(pixels, PICTURE_SIZE, interpolation=cv2.INTER_AREA)
    return Picture(small, boxes * np.tile(factor, 2), people, nobody)


def compressed(rgb: np.ndarray, quality: int) -> np.ndarray:
    """BGR pixels as they come back from a JPEG file."""
    _, file = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))


def is_worth_learning(truth: Truth) -> bool:
    return max(truth.bbox[2:]) >= SMALLEST and int((truth.keypoints[:, 2] > 0).sum()) >= FEWEST


def cut_out(pixels: np.ndarray, frame: Frame, truth: Truth) -> Person:
    """The person at the middle of a crop, with the map of the body parts that are seen of them."""
    x, y, w, h = truth.bbox
    matrix, bbox = around(np.array([x, y, x + w, y + h]))
    keypoints = truth.keypoints.copy()
    inside = keypoints[:, 2] > 0
    keypoints[inside, :2] = keypoints[inside, :2] @ matrix[:, :2].T + matrix[:, 2]
    parts = np.where(frame.owner == truth.person, _CLASS[frame.part.astype(np.uint8)], 0)
    shrink, halve = resized(PARTS_SIZE[0] / PERSON_SIZE[0]), resized(1 / SUPERSAMPLING)
    to_parts = shrink @ np.vstack([matrix, [0, 0, 1]]) @ halve
    return Person(
        cv2.warpAffine(pixels, matrix, PERSON_SIZE),
        cv2.warpAffine(parts, to_parts[:2], PARTS_SIZE, flags=cv2.INTER_NEAREST),
        keypoints,
        bbox,
    )


def without_people(rng: np.random.Generator, pixels: np.ndarray, boxes: np.ndarray) -> list[Nobody]:
    """One box free of people's (N, 4), cut out, where one is found in a picture that shows something."""
    box = empty_box(rng, pixels.shape[1::-1], boxes)
    if box is None or not shows_something(pixels, box):
        return []
    matrix, bbox = around(box)
    return [Nobody(cv2.warpAffine(pixels, matrix, PERSON_SIZE), bbox)]


def around(box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The matrix (2, 3) that cuts out a box x1 y1 x2 y2 and its surroundings, and the box there."""
    center, scale = bbox_to_center_scale(box[None], PADDING, PERSON_SIZE[0] / PERSON_SIZE[1])
    matrix = np.asarray(warp_matrices(center, scale, PERSON_SIZE, True)[0], np.float64)[:2]
    return matrix, (box.reshape(2, 2) @ matrix[:, :2].T + matrix[:, 2]).ravel()


def resized(factor: float) -> np.ndarray:
    """(3, 3) from pixel indices of a picture to those of one `factor` times as large."""
    return np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1]])


def write_people(out: Path, people: list[Person]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / PARTS, np.stack([person.parts for person in people]))
    keypoints = np.stack([person.keypoints for person in people]).astype(np.float32)
    write(
        out,
        np.stack([person.pixels for person in people]),
        keypoints=keypoints,
        visible=(keypoints[:, :, 2] == 2).sum(1),
        bboxes=np.stack([person.bbox for person in people]).astype(np.float32),
    )


def write_nobody(out: Path, nobody: list[Nobody]) -> None:
    write(
        out,
        np.stack([one.pixels for one in nobody]),
        bboxes=np.stack([one.bbox for one in nobody]).astype(np.float32),
    )


def write_pictures(out: Path, pictures: list[Picture]) -> None:
    write(
        out,
        np.stack([picture.pixels for picture in pictures]),
        bboxes=np.concatenate([picture.boxes for picture in pictures]),
        starts=np.cumsum([0] + [len(picture.boxes) for picture in pictures]),
    )


def write(out: Path, pixels: np.ndarray, **labels: np.ndarray) -> None:
    """Labels last: a part with labels is whole."""
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / PIXELS, pixels)
    np.savez(out / LABELS, **labels)  # pyright: ignore[reportArgumentType]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=12000)
    parser.add_argument("--first", type=int, default=0, help="number of the first picture")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=None)
    options = parser.parse_args()
    wanted = range(options.first, options.first + options.images, PART)
    pictures = options.out / PICTURES
    missing = [first for first in wanted if not (pictures / f"{first:06d}" / LABELS).is_file()]
    jobs = [(options.seed, first + i) for first in missing for i in range(PART)]
    made: list[Picture] = []
    for picture in over_processes(options.workers)(make_picture, jobs):
        made.append(picture)
        if len(made) == PART:
            name = f"{missing.pop(0):06d}"
            people = [person for picture in made for person in picture.people]
            nobody = [one for picture in made for one in picture.nobody]
            write_people(options.out / PEOPLE / name, people)
            if nobody:
                write_nobody(options.out / NOBODY / name, nobody)
            write_pictures(pictures / name, made)
            print(f"{name}: {PART} pictures, {len(people)} people", flush=True)
            made.clear()


if __name__ == "__main__":
    main()
