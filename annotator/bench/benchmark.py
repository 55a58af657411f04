"""One benchmark from its settings to its result: models built, agreement checked, both sides timed."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from annotator.bench.agreement import Agreement, compare, outputs_apart
from annotator.bench.contest import Result, compete
from annotator.bench.photos import Photo
from annotator.bench.sides import Line, MMPoseLoop, Rtmlib, Side, set_threads
from annotator.errors import RunFailed, UserError
from annotator.models.detector import Detector
from annotator.models.engines.engine_choice import Choice, choose_detector, choose_pose
from annotator.models.engines.speed_of_light import (
    SpeedOfLight,
    flop_of,
    seconds_a_person,
    seconds_an_image,
)
from annotator.models.sources import ModelSource
from annotator.models.topdown import TopDown
from annotator.parity.topdown import NETWORK_LIMIT

# Pixels of the photo, 99.9% of joints: two libraries that round differently (fp32, the same weights).
_EXACT = 0.05
# Pixels, 99% of joints, of what was timed; only trained weights have answers to keep.
_CLOSE = 0.5
_CHECKED = 8


@dataclass(frozen=True)
class Settings:
    """What to compare.

    Attributes:
        pose, detector: the models; without a detector both sides are given boxes.
        against: "mmpose" or "rtmlib".
        flip: flip test; None: as the config says.
        engine, precision: of our pose model; "auto" is what a run would take. MMPose's side is torch in fp32.
        rounds: how often each side takes its turn.
        threads: of torch and OpenCV on both sides, and of our decoding.
        threshold: detector boxes below it are dropped, on both sides.
        batch_people, batch_images: of our line.
        device: torch device of both sides.
        repeat: how often our line looks at the photos in one round: where a GPU takes milliseconds for what
            takes MMPose's loop seconds, the beginning and the end of a round would be most of it.
    """

    pose: ModelSource
    detector: ModelSource | None = None
    against: str = "mmpose"
    flip: bool | None = None
    engine: str = "auto"
    precision: str = "auto"
    rounds: int = 3
    threads: int = 1
    threshold: float = 0.3
    batch_people: int = 32
    batch_images: int = 16
    device: str = "cpu"
    repeat: int = 1

    @property
    def score_threshold(self) -> float | None:
        """`threshold` where a detector finds the boxes."""
        return None if self.detector is None else self.threshold


def benchmark(settings: Settings, photos: Sequence[Photo], report: Callable[[str], None]) -> Result:
    """Compare, then time.

    Args:
        report: hears what is going on.

    Raises:
        UserError: settings that do not fit.
        RunFailed: the two sides do not agree, so that their speeds mean nothing.
    """
    set_threads(settings.threads)
    with TemporaryDirectory() as folder:
        settings = replace(settings, pose=_responsive(settings.pose, photos, Path(folder)))
        return _benchmark(settings, photos, report)


def _benchmark(settings: Settings, photos: Sequence[Photo], report: Callable[[str], None]) -> Result:
    choice = choose_pose(settings.pose, settings.device, settings.engine, settings.precision)
    finder = None
    if settings.detector is not None:
        finder = choose_detector(settings.detector, settings.device)
    report(f"{settings.pose.name} by {choice}" + (f", detector by {finder}" if finder else ""))
    theirs = _theirs(settings)
    trained = not settings.pose.random_weights and settings.pose.sha256 != "random"
    exact = None
    if isinstance(theirs, MMPoseLoop):
        exact = _exact(settings, theirs, photos, trained)
        report(f"in fp32: {exact.people} people, 99.9% of joints within {exact.p999:.2g} px")
    ours = _ours(settings, choice, finder)
    # Threads find out here how to share batches, before anything is timed.
    budget = 12.0 if settings.device == "cpu" else 3.0
    _networks_alone(settings, ours, settings.batch_people, budget / 3)
    seconds: list[dict[str, float]] = []
    timed, line, expected, found = compete(
        theirs, ours, photos, settings.rounds, report, lambda: seconds.append(_stages(ours)), settings.repeat
    )
    agreement = compare(found, expected, settings.score_threshold)
    if trained and (agreement.p99 >= _CLOSE or agreement.alone or not agreement.people):
        raise RunFailed(
            f"{settings.pose.name} by {choice}: 1% of joints lie {agreement.p99:.2f} px or more apart, where "
            f"{_CLOSE} px are allowed ({agreement.people} people compared, {agreement.alone} on one side)"
        )
    alone = _networks_alone(settings, ours, max(1, min(settings.batch_people, line.people)), budget)
    limit = alone.seconds(line.people, line.photos if settings.detector else 0)
    middle = sorted(range(len(line.seconds)), key=line.seconds.__getitem__)[len(line.seconds) // 2]
    return Result(
        model=settings.pose.name + (f" + {settings.detector.name}" if settings.detector else ""),
        theirs=timed,
        ours=line,
        agreement=agreement,
        exact=exact,
        limit=None if not limit else line.people / limit,
        stages=seconds[middle],
        machine=_machine(settings),
        settings=_chosen(settings, choice, finder, ours, trained, line.rate),
    )


def _responsive(source: ModelSource, photos: Sequence[Photo], folder: Path) -> ModelSource:
    """Random weights that respond to their input; see `parity.random_weights`."""
    from annotator.media.image import ImageLimits, read_image
    from annotator.parity.pictures import Picture, made_boxes
    from annotator.parity.random_weights import responsive

    if not source.random_weights:
        return source
    pixels = [read_image(photo.path, ImageLimits()).pixels for photo in photos[:4]]
    pictures = [Picture(one, made_boxes(one.shape[:2], 1, 0)) for one in pixels]
    return responsive(source, pictures, folder)


def _theirs(settings: Settings) -> Side:
    if settings.against == "mmpose":
        return MMPoseLoop(
            settings.pose, settings.detector, settings.threshold, settings.flip, settings.device
        )
    if settings.detector is not None or settings.flip:
        raise UserError("--against rtmlib compares pose models on given boxes, without a flip test")
    from annotator.models.engines.engine import PoseNetwork
    from annotator.models.engines.onnx_export import exported
    from annotator.models.openmmlab.build import build
    from annotator.models.openmmlab.configs import input_size

    built = build(settings.pose)
    size = input_size(built.config)
    if size is None or not hasattr(built.network.head, "cls_x"):
        raise UserError(f"--against rtmlib: {settings.pose.name} is no SimCC model such as rtmpose-m")
    return Rtmlib(str(exported(PoseNetwork(built.network), settings.pose.name, size)), size, settings.device)


def _ours(settings: Settings, choice: Choice, finder: Choice | None) -> Line:
    pose = TopDown(
        settings.pose,
        device=settings.device,
        precision=choice.precision,
        engine=choice.engine,
        flip=settings.flip if settings.against == "mmpose" else False,
        batch_people=settings.batch_people,
    )
    detector = None
    if settings.detector is not None and finder is not None:
        detector = Detector(
            settings.detector,
            device=settings.device,
            precision=finder.precision,
            engine=finder.engine,
            score_threshold=settings.threshold,
        )
    return Line(pose, detector, settings.batch_images, settings.threads)


def _exact(settings: Settings, theirs: MMPoseLoop, photos: Sequence[Photo], trained: bool) -> Agreement:
    """That our torch engine in fp32 gives MMPose's keypoints, on a few people, before anything is timed.

    Random weights give maps in which rounding decides where the maximum is: their networks' raw outputs are
    compared instead.

    Raises:
        RunFailed: it does not.
    """
    few, people = [], 0
    for photo in photos:
        if people >= _CHECKED:
            break
        few.append(photo if photo.boxes is None else replace(photo, boxes=photo.boxes[: _CHECKED - people]))
        people += 1 if photo.boxes is None else len(photo.boxes)
    ours = _ours(settings, Choice("torch", "fp32", ""), Choice("torch", "fp32", ""))
    expected = theirs.exactly(few)
    if settings.detector is not None:
        boxes = compare(ours(few), expected, settings.score_threshold)
        _refuse_unless(bool(boxes.people) and not boxes.alone, settings.detector.name, boxes)
        # OpenCV samples at multiples of 1/32 px, so that rounding of a box can move a joint by a tenth of a
        # pixel; the pose models are compared on the very same boxes.
        few = [replace(photo, boxes=one.boxes) for photo, one in zip(few, expected, strict=True)]
        ours = Line(ours.pose, None, settings.batch_images, settings.threads)
    agreement = compare(ours(few), expected)
    if trained:
        equal = bool(agreement.people) and not agreement.alone and agreement.p999 <= _EXACT
    else:
        equal = outputs_apart(ours.pose, theirs.reference, few) <= NETWORK_LIMIT
    _refuse_unless(equal, settings.pose.name, agreement)
    return agreement


def _refuse_unless(equal: bool, name: str, agreement: Agreement) -> None:
    if not equal:
        raise RunFailed(
            f"{name} in fp32 does not agree with MMPose: {asdict(agreement)}; speeds of things that differ "
            "mean nothing"
        )


def _networks_alone(settings: Settings, ours: Line, people: int, budget: float) -> SpeedOfLight:
    """On tensors in memory, in passes of so many people: as the line has them, where the budget allows."""
    return SpeedOfLight(
        seconds_a_person(ours.pose, people, budget),
        ours.detector and seconds_an_image(ours.detector, settings.batch_images, budget),
    )


def _stages(ours: Line) -> dict[str, float]:
    clock, spent = ours.clock, ours.pose.take_figures()
    return {"decode": clock.wait, "detect": clock.detect, **spent}


def _machine(settings: Settings) -> dict[str, Any]:
    import torch

    device = torch.device(settings.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": name,
        "threads": settings.threads,
        "cores": len(os.sched_getaffinity(0)),
        "avx512_bf16": "avx512_bf16" in _cpu_flags(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _chosen(
    settings: Settings, choice: Choice, finder: Choice | None, ours: Line, trained: bool, rate: float
) -> dict[str, Any]:
    flop = flop_of(settings.pose, 2 if ours.pose.flip else 1)
    return {
        "against": settings.against,
        "engine": choice.engine,
        "precision": choice.precision,
        "parts_of_a_batch": getattr(ours.pose.engine, "parts", None),
        "detector_engine": finder.engine if finder else None,
        "flip": ours.pose.flip,
        "weights": "trained" if trained else "random",
        "batch_people": settings.batch_people,
        "rounds": settings.rounds,
        "repeat": settings.repeat,
        "pose_gflop_a_person": None if flop is None else flop / 1e9,
        "pose_gflop_per_second": None if flop is None else flop * rate / 1e9,
    }


def _cpu_flags() -> set[str]:
    return set(_cpuinfo("flags").split())


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor()


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
