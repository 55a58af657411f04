"""Cheap models that break on demand, and the pictures that demand it.

The first pixel of a picture says what becomes of the process that looks at it. Everything around is real:
files, decode threads, batches, intent records, rows, commits.
"""

from __future__ import annotations

import ctypes
import os
import time
from enum import IntEnum
from pathlib import Path

import cv2
import numpy as np

from annotator.models.estimator import Estimator
from annotator.people import Detections, Poses
from annotator.skeletons import COCO_17


class Fate(IntEnum):
    """Red of the first pixel."""

    GOOD = 0
    ABORT = 10  # in the detector
    SEGFAULT = 20  # in the pose model
    ABORT_IN_DECODER = 30  # in a decode thread
    HANG = 40  # in the detector
    HANG_IN_DECODER = 50
    RAISE = 60  # a Python exception in the detector
    NO_MEMORY = 70  # MemoryError in the pose model
    EXIT = 80  # the process ends itself without a trace
    SLOW = 90  # five seconds more
    DEVICE_LOST = 100  # CUDA's sticky error, once for the picture, then for everything


DEADLY = {Fate.ABORT, Fate.SEGFAULT, Fate.ABORT_IN_DECODER, Fate.HANG, Fate.HANG_IN_DECODER, Fate.EXIT}
FOREVER = 3600


def write_picture(path: Path, fate: Fate = Fate.GOOD, number: int = 0) -> None:
    """A small lossless picture whose content says how many people are in it (`number` modulo 4)."""
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[...] = (0, number % 4, int(fate))  # OpenCV's order: blue, green, red
    if not cv2.imwrite(str(path), pixels):
        raise OSError(f"cannot write {path}")


def build(job, threads):
    """What `Job.models` names."""
    # A setting that may differ when a run is resumed, and that these models have no other use for.
    return FakeDetector(float(job.config.weights_dir or 0.002)), FakePose()


def expected(number: int) -> Poses:
    """The people of a good picture: what a run must come to, whatever happened to it on the way."""
    return _poses(_boxes(number % 4))


def _fate(image: np.ndarray) -> int:
    return int(image[0, 0, 0])


class FakeDetector:
    """As many boxes as the green of the first pixel says."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds  # a picture
        self._lost = False

    def prepare(self, image: np.ndarray) -> np.ndarray:
        if _fate(image) == Fate.ABORT_IN_DECODER:
            os.abort()
        if _fate(image) == Fate.HANG_IN_DECODER:
            time.sleep(FOREVER)
        return image

    def detect(self, inputs: list[np.ndarray]) -> list[Detections]:
        time.sleep(self._seconds * len(inputs))
        fates = {_fate(image) for image in inputs}
        if Fate.ABORT in fates:
            os.abort()
        if Fate.HANG in fates:
            time.sleep(FOREVER)
        if Fate.EXIT in fates:
            os._exit(1)
        if Fate.SLOW in fates:
            time.sleep(5)
        self._lost = self._lost or Fate.DEVICE_LOST in fates
        if self._lost:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if Fate.RAISE in fates:
            raise ValueError("this picture is not to my taste")
        return [_boxes(int(image[0, 0, 1])) for image in inputs]


class FakePose(Estimator):
    """Keypoints that follow from the box alone."""

    skeleton = COCO_17

    def estimate(self, images: list[np.ndarray], boxes: list[Detections]) -> list[Poses]:
        fates = {_fate(image) for image in images}
        if Fate.SEGFAULT in fates:
            ctypes.string_at(0)
        if Fate.NO_MEMORY in fates:
            raise MemoryError("no room for this one")
        return [_poses(found) for found in boxes]


def _boxes(people: int) -> Detections:
    corners = np.array([[1 + n, 2, 11 + n, 20] for n in range(people)], np.float64).reshape(-1, 4)
    return Detections(corners, np.linspace(0.9, 0.5, people, dtype=np.float32))


def _poses(found: Detections) -> Poses:
    n, joints = len(found), len(COCO_17)
    sides = np.concatenate([found.bboxes[:, :2], found.bboxes[:, 2:] - found.bboxes[:, :2]], axis=1)
    steps = np.linspace(0, 1, joints, dtype=np.float32)[None, :, None]
    keypoints = (sides[:, None, :2] + steps * sides[:, None, 2:]).astype(np.float32)
    scores = np.full((n, joints), 0.8, np.float32)
    return Poses(sides, found.scores, keypoints, scores, found.scores * np.float32(0.8))
