"""The line: items in, rows out. Decodes ahead, detects in batches, poses people of many images at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from annotator.errors import AnnotatorError, ItemError
from annotator.items import Item
from annotator.media.image import Image
from annotator.models.estimator import Estimator
from annotator.people import Detections, Poses


class DeviceLostError(AnnotatorError):
    """The device will fail whatever it is given: only a new process can go on."""


class PersonDetector(Protocol):
    """Finds people in prepared images (`models.detector.Detector`)."""

    def prepare(self, image: np.ndarray) -> Any: ...
    def detect(self, inputs: list) -> list[Detections]: ...


@dataclass
class StageClock:
    """Seconds a shard spent in each stage, and what it made.

    Attributes:
        detected: images that the detector looked at.
        posed: people who came out of the pose model.
        people: those of them who are kept.
    """

    wait: float = 0.0
    detect: float = 0.0
    pose: float = 0.0
    signals: float = 0.0
    images: int = 0
    detected: int = 0
    posed: int = 0
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


Entry = tuple[Item, Decoded | ItemError]
Around = Callable[[Sequence[Item]], AbstractContextManager[object]]
# Batches of the detector that wait for more people, at most.
_BATCHES_HELD = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """One item, done: its poses (possibly none), or the error that becomes its row."""

    item: Item
    size: tuple[int, int] | None  # width, height of the upright image
    result: Poses | ItemError


def annotate(
    decoded: Iterable[tuple[Item, Decoded | ItemError]],
    detector: PersonDetector | None,
    pose: Estimator,
    batch_images: int,
    clock: StageClock,
    around: Around = lambda items: nullcontext(),
    judge: Callable[[Poses], Poses] = lambda poses: poses,
    max_bytes: int = 1 << 30,
) -> Iterator[Outcome]:
    """Outcomes in the order of the items, one for each.

    Items with given boxes keep them exactly; the others ask the detector. An estimator that finds people by
    itself needs neither. A batch that fails is tried again one image at a time, so that only the image at
    fault becomes an error. `around` is entered around the work of the models on a batch; `judge` gives
    the people of each image their signals.

    People of several batches are posed together until they fill a pass of the pose model (`batch_people` of
    the estimator), as long as the pixels held for that are fewer than `max_bytes`; so a batch of huge images
    ends early.

    Raises:
        DeviceLostError: the device fails whatever it is given; no item is to blame for what comes after.
    """
    batch: list[Entry] = []
    found: list[_Found] = []
    held = 0
    for entry in _timed(decoded, clock):
        batch.append(entry)
        held += _pixel_bytes(entry)
        if len(batch) < batch_images and held < max_bytes:
            continue
        found.append(_find(batch, detector, pose, clock, around))
        batch = []
        people = sum(one.people for one in found)
        if held < max_bytes and len(found) < _BATCHES_HELD and people < pose.batch_people:
            continue
        yield from _finish(found, pose, clock, around, judge)
        found, held = [], 0
    if batch:
        found.append(_find(batch, detector, pose, clock, around))
    yield from _finish(found, pose, clock, around, judge)


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


def _pixel_bytes(entry: Entry) -> int:
    return entry[1].image.pixels.nbytes if isinstance(entry[1], Decoded) else 0


@dataclass(frozen=True, slots=True)
class _Found:
    """A batch whose people are known, by place in the batch: their boxes, or already what becomes of it."""

    batch: Sequence[Entry]
    boxes: dict[int, Detections]
    results: dict[int, Poses | ItemError]

    @property
    def people(self) -> int:
        return sum(map(len, self.boxes.values()))


def _find(
    batch: Sequence[Entry],
    detector: PersonDetector | None,
    pose: Estimator,
    clock: StageClock,
    around: Around,
) -> _Found:
    """The people of a batch: given, detected, or with their keypoints already by a whole-image estimator."""
    results: dict[int, Poses | ItemError] = {
        place: entry for place, (_, entry) in enumerate(batch) if isinstance(entry, ItemError)
    }
    good = {place: (item, entry) for place, (item, entry) in enumerate(batch) if isinstance(entry, Decoded)}
    start = time.perf_counter()
    if pose.whole_image:
        inputs = {place: entry.prepared for place, (_, entry) in good.items()}
        with around([item for item, _ in batch]):
            results |= _each(inputs, pose.find, "pose", results)
        clock.pose += time.perf_counter() - start
        return _Found(batch, {}, results)

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
        with around([item for item, _ in batch]):
            boxes.update(_each(to_detect, detector.detect, "detect", results))
    clock.detect += time.perf_counter() - start
    clock.detected += len(to_detect)
    return _Found(batch, boxes, results)


def _finish(
    found: Sequence[_Found],
    pose: Estimator,
    clock: StageClock,
    around: Around,
    judge: Callable[[Poses], Poses],
) -> Iterator[Outcome]:
    """Pose the people of all these batches together, and hand everything on in order."""
    crowded = {
        (number, place): (entry.image.pixels, boxes)
        for number, one in enumerate(found)
        for place, boxes in one.boxes.items()
        if isinstance(entry := one.batch[place][1], Decoded)
    }
    failures: dict[Any, Poses | ItemError] = {}
    poses: dict[Any, Poses] = {}
    if crowded:
        start = time.perf_counter()
        with around([item for one in found for item, _ in one.batch]):
            poses = _each(
                crowded, lambda pairs: pose.estimate(*map(list, zip(*pairs, strict=True))), "pose", failures
            )
        clock.pose += time.perf_counter() - start
    results = {
        (number, place): one.results[place] for number, one in enumerate(found) for place in one.results
    }
    results |= failures | poses
    for number, one in enumerate(found):
        for place, (item, entry) in enumerate(one.batch):
            yield _outcome(item, entry, results[number, place], clock, judge)


def _outcome(
    item: Item,
    entry: Decoded | ItemError,
    result: Poses | ItemError,
    clock: StageClock,
    judge: Callable[[Poses], Poses],
) -> Outcome:
    size = (entry.image.width, entry.image.height) if isinstance(entry, Decoded) else None
    if isinstance(entry, Decoded) and isinstance(result, Poses):
        # Before `judge` drops some: they were work too.
        clock.posed += len(result)
        result = _in_full_image(result, item, entry.image.scale)
        start = time.perf_counter()
        result = judge(result)
        clock.signals += time.perf_counter() - start
    outcome = Outcome(item, size, result)
    clock.count(outcome)
    return outcome


def _each(
    inputs: dict[Any, Any],
    call: Callable[[list], list],
    stage: str,
    failures: dict[Any, Poses | ItemError],
) -> dict[Any, Any]:
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
    done: dict[Any, Any] = {}
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
