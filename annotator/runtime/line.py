"""The line: items in, rows out. Decodes ahead, detects in batches, poses people of many images at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from annotator.errors import AnnotatorError, ItemError
from annotator.media.image import Image
from annotator.people import Detections, Poses
from annotator.skeletons import Skeleton
from annotator.sources.items import Item


class DeviceLostError(AnnotatorError):
    """The device will fail whatever it is given: only a new process can go on."""


class PersonDetector(Protocol):
    """Finds people in prepared images (`models.detector.Detector`)."""

    def prepare(self, image: np.ndarray) -> Any: ...
    def detect(self, inputs: list) -> list[Detections]: ...


class PoseEstimator(Protocol):
    """Finds the keypoints of given people (`models.topdown.TopDown`)."""

    @property
    def skeleton(self) -> Skeleton: ...
    def estimate(self, images: list[np.ndarray], boxes: list[Detections]) -> list[Poses]: ...


@runtime_checkable
class WholeImageEstimator(Protocol):
    """Finds people and their keypoints in prepared images by itself (`models.whole_image.WholeImage`)."""

    @property
    def skeleton(self) -> Skeleton: ...
    def prepare(self, image: np.ndarray) -> Any: ...
    def find(self, inputs: list) -> list[Poses]: ...


@dataclass
class StageClock:
    """Seconds a shard spent in each stage, and what it made."""

    wait: float = 0.0
    detect: float = 0.0
    pose: float = 0.0
    signals: float = 0.0
    images: int = 0
    people: int = 0
    errors: int = 0
    error_kinds: dict[str, int] = field(default_factory=dict)

    def count(self, outcome: Outcome) -> None:
        """Add one finished item."""
        self.images += 1
        if isinstance(outcome.result, ItemError):
            self.errors += 1
            kind = f"{outcome.result.stage}/{outcome.result.kind}"
            self.error_kinds[kind] = self.error_kinds.get(kind, 0) + 1
        else:
            self.people += len(outcome.result)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a decode thread hands over: the picture and the input of the network that looks at all of it."""

    image: Image
    prepared: object | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One item, done: its poses (possibly none), or the error that becomes its row."""

    item: Item
    size: tuple[int, int] | None  # width, height of the upright image
    result: Poses | ItemError


def annotate(
    decoded: Iterable[tuple[Item, Decoded | ItemError]],
    detector: PersonDetector | None,
    pose: PoseEstimator | WholeImageEstimator,
    batch_images: int,
    clock: StageClock,
    around: Callable[[Sequence[Item]], AbstractContextManager[object]] = lambda items: nullcontext(),
    judge: Callable[[Poses], Poses] = lambda poses: poses,
) -> Iterator[Outcome]:
    """Outcomes in the order of the items, one for each.

    Items with given boxes keep them exactly; the others ask the detector. An estimator that finds people by
    itself needs neither. A batch that fails is tried again one image at a time, so that only the image at
    fault becomes an error. `around` is entered around the work of the models on a batch; `judge` gives
    the people of each image their signals.

    Raises:
        DeviceLostError: the device fails whatever it is given; no item is to blame for what comes after.
    """
    batch: list[tuple[Item, Decoded | ItemError]] = []
    for entry in _timed(decoded, clock):
        batch.append(entry)
        if len(batch) == batch_images:
            yield from _annotate_batch(batch, detector, pose, clock, around, judge)
            batch = []
    yield from _annotate_batch(batch, detector, pose, clock, around, judge)


def _timed(source: Iterable, clock: StageClock) -> Iterator:
    """Pass items on, adding the time spent waiting for them to `clock.wait`."""
    iterator = iter(source)
    while True:
        start = time.perf_counter()
        try:
            entry = next(iterator)
        except StopIteration:
            return
        finally:
            clock.wait += time.perf_counter() - start
        yield entry


def _annotate_batch(
    batch: Sequence[tuple[Item, Decoded | ItemError]],
    detector: PersonDetector | None,
    pose: PoseEstimator | WholeImageEstimator,
    clock: StageClock,
    around: Callable[[Sequence[Item]], AbstractContextManager[object]],
    judge: Callable[[Poses], Poses],
) -> Iterator[Outcome]:
    with around([item for item, _ in batch]):
        results = _results(batch, detector, pose, clock)
    for place, (item, entry) in enumerate(batch):
        size = (entry.image.width, entry.image.height) if isinstance(entry, Decoded) else None
        result = results[place]
        if isinstance(entry, Decoded) and isinstance(result, Poses):
            result = _in_full_image(result, item, entry.image.scale)
            start = time.perf_counter()
            result = judge(result)
            clock.signals += time.perf_counter() - start
        outcome = Outcome(item, size, result)
        clock.count(outcome)
        yield outcome


def _results(
    batch: Sequence[tuple[Item, Decoded | ItemError]],
    detector: PersonDetector | None,
    pose: PoseEstimator | WholeImageEstimator,
    clock: StageClock,
) -> dict[int, Poses | ItemError]:
    """What becomes of each item of a batch, by its place in it."""
    results: dict[int, Poses | ItemError] = {
        place: entry for place, (_, entry) in enumerate(batch) if isinstance(entry, ItemError)
    }
    good = {place: (item, entry) for place, (item, entry) in enumerate(batch) if isinstance(entry, Decoded)}

    start = time.perf_counter()
    if isinstance(pose, WholeImageEstimator):
        inputs = {place: entry.prepared for place, (_, entry) in good.items()}
        found = _each(inputs, pose.find, "pose", results)
        clock.pose += time.perf_counter() - start
        return results | found

    boxes: dict[int, Detections] = {}
    to_detect = {}
    for place, (item, entry) in good.items():
        if item.boxes is not None:
            boxes[place] = _scaled(given_boxes(item), 1 / entry.image.scale)
        else:
            to_detect[place] = entry.prepared
    if to_detect:
        if detector is None:
            raise ValueError("items without boxes need a detector")
        boxes.update(_each(to_detect, detector.detect, "detect", results))
    clock.detect += time.perf_counter() - start

    start = time.perf_counter()
    crowded = {place: (good[place][1].image.pixels, found) for place, found in boxes.items()}
    poses = _each(crowded, lambda pairs: pose.estimate(*map(list, zip(*pairs, strict=True))), "pose", results)
    clock.pose += time.perf_counter() - start

    results.update(poses)
    return results


def _each(
    inputs: dict[int, Any],
    call: Callable[[list], list],
    stage: str,
    failures: dict[int, Poses | ItemError],
) -> dict[int, Any]:
    """`call` on all inputs at once; when that raises, on each alone, the failing ones going to `failures`."""
    if not inputs:
        return {}
    try:
        return dict(zip(inputs, call(list(inputs.values())), strict=True))
    except Exception as error:
        if _device_lost(error):
            raise DeviceLostError(f"{stage}: {(str(error).splitlines() or [''])[0][:500]}") from error
        if len(inputs) == 1:
            place = next(iter(inputs))
            kind = error.kind if isinstance(error, ItemError) else type(error).__name__
            message = (
                error.message if isinstance(error, ItemError) else (str(error).splitlines() or [""])[0][:500]
            )
            failures[place] = ItemError(stage, kind, message)
            return {}
    done: dict[int, Any] = {}
    for place, value in inputs.items():
        done.update(_each({place: value}, call, stage, failures))
    return done


def _scaled(found: Detections, factor: float) -> Detections:
    return found if factor == 1 else Detections(found.bboxes * factor, found.scores)


def _device_lost(error: Exception) -> bool:
    """Whether CUDA answers every later call with this error too (illegal access, failed assertion ...)."""
    return type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)


def _in_full_image(poses: Poses, item: Item, scale: int) -> Poses:
    """Coordinates of a picture that was handed on smaller, in the frame of the full one.

    Given boxes get their own numbers back: corners and sides differ in the last bit.
    """
    if scale != 1:
        poses = poses.scaled(scale)
    if item.boxes:
        poses = replace(poses, bboxes=np.array([box.bbox for box in item.boxes], np.float64))
    return poses


def given_boxes(item: Item) -> Detections:
    """The boxes that came with an item, corners instead of sides; a missing score counts as 1."""
    if not item.boxes:
        return Detections.none()
    xywh = np.array([box.bbox for box in item.boxes], np.float64)
    scores = np.array([1.0 if box.score is None else box.score for box in item.boxes], np.float32)
    return Detections(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1), scores)
