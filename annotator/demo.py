"""The first two minutes: people made to order, annotated, proved, measured and shown; offline."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from annotator.config import RunConfig, load_config
from annotator.errors import RunFailed

SEED = 20
PICTURE_SIZE = (640, 480)
FILM_SIZE = (480, 360)
FILM_FPS = 12.0
SHARD_SIZE = 16

_BY = {"ray": "by Ray", "inline": "without Ray"}


@dataclass(frozen=True, slots=True)
class Demo:
    """What is made, and who annotates it.

    Attributes:
        out: folder for everything.
        pictures: how many. seconds: length of the film.
        pose, detector: names of the catalogue or config files, with weights for the latter.
        executor: who carries it out: Ray, or this process alone.
    """

    out: Path
    pictures: int = 40
    seconds: float = 3.0
    pose: str = "demo-pose"
    pose_weights: str | None = None
    detector: str = "demo-detector"
    detector_weights: str | None = None
    executor: Literal["ray", "inline"] = "ray"

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.out / "run"

    @property
    def truth(self) -> Path:
        """COCO ground truth of pictures and film together."""
        return self.out / "truth.json"

    @property
    def annotations(self) -> Path:
        """The run as a COCO file."""
        return self.out / "annotations.json"

    @property
    def report(self) -> Path:
        """The report of the run."""
        return self.run / "report.html"

    def to_dict(self) -> dict[str, str]:
        """Where everything is, in plain JSON form."""
        return {name: str(getattr(self, name)) for name in ("run", "truth", "annotations", "report")}

    def config(self, inputs: tuple[str, ...]) -> RunConfig:
        """Settings of the run: the defaults, in small shards."""
        given = {
            "inputs": inputs,
            "out": str(self.run),
            "pose": self.pose,
            "pose_weights": self.pose_weights,
            "detector": self.detector,
            "detector_weights": self.detector_weights,
            "shard_size": SHARD_SIZE,
            "executor": self.executor,
        }
        return load_config(None, given, [])


class Steps:
    """Tells each step when it begins and what came of it, on one line of `say`."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say

    @contextmanager
    def __call__(self, name: str) -> Iterator[list[str]]:
        """A step; the block appends its outcome to the list."""
        self._say(f"  {name:<10}")
        began = time.monotonic()
        outcome: list[str] = []
        try:
            yield outcome
        except BaseException:
            self._say("failed\n")
            raise
        self._say(f"{', '.join(outcome):<66} {time.monotonic() - began:5.1f} s\n")


def run_demo(demo: Demo, say: Callable[[str], object]) -> dict[str, Any]:
    """Carry out the demo; a finished one in the same folder is shown again without new work by the models.

    Args:
        say: takes text for a person as it comes, newlines included.

    Returns:
        The evaluation, as of `annotator.evaluate.evaluation.evaluate`.

    Raises:
        UserError: the folder holds another run, or the models are not there.
        RunFailed: the run failed, or its rows are not what they should be.
    """
    step = Steps(say)
    inputs = (*_make_pictures(demo, step), *_make_film(demo, step))
    _join_truth(demo)
    _annotate(demo, inputs, step)
    _verify(demo, step)
    evaluation = _evaluate(demo, step)
    _export(demo, step)
    _report(demo, step)
    return evaluation


def _make_pictures(demo: Demo, step: Steps) -> tuple[str, ...]:
    from annotator.synth.dataset import IMAGES_DIR, write_images

    with step("pictures") as outcome:
        truth = json.loads(write_images(demo.out, demo.pictures, SEED, PICTURE_SIZE).read_text())
        outcome += [f"{len(truth['images'])} made", f"{len(truth['annotations'])} people in them"]
    return (str(demo.out / IMAGES_DIR),)


def _make_film(demo: Demo, step: Steps) -> tuple[str, ...]:
    from annotator.synth.film import VIDEOS_DIR, write_films

    with step("film") as outcome:
        # Film number 1, not 0: its image ids are then far from those of the pictures.
        path = write_films(demo.out, 1, SEED, FILM_SIZE, demo.seconds, FILM_FPS, start=1)
        truth = json.loads(path.read_text())
        people = len({annotation["track_id"] for annotation in truth["annotations"]})
        outcome += [f"{len(truth['images'])} frames", f"{people} people walk through them"]
    return tuple(str(demo.out / VIDEOS_DIR / video["file_name"]) for video in truth["videos"])


def _join_truth(demo: Demo) -> None:
    """One ground truth of pictures and film, frames named as rows name them."""
    from annotator.synth import dataset, film

    pictures = json.loads((demo.out / dataset.ANNOTATIONS).read_text())
    frames = json.loads((demo.out / film.ANNOTATIONS).read_text())
    for image in frames["images"]:
        image["file_name"] = f"{image['file_name'].partition('#')[0]}#{image['frame_id']:08d}"
    joined = {
        **pictures,
        "images": [*pictures["images"], *frames["images"]],
        "annotations": [*pictures["annotations"], *frames["annotations"]],
    }
    dataset.write_json(demo.truth, joined)


def _annotate(demo: Demo, inputs: tuple[str, ...], step: Steps) -> None:
    from annotator.runtime.launch import launch
    from annotator.runtime.progress import ProgressBar

    with step("annotate") as outcome:
        report = launch(demo.config(inputs), ProgressBar(quiet=True))
        totals = report.totals
        outcome += [f"{totals.images} images", f"{report.confident} people sure", f"{totals.error} errors"]
        outcome.append(_BY[demo.executor] if report.images else "finished before")
    if totals.error:
        kinds = ", ".join(f"{count} {kind}" for kind, count in totals.errors.items())
        raise RunFailed(f"{demo.run}: pictures of our own making gave error rows: {kinds}")


def _verify(demo: Demo, step: Steps) -> None:
    from annotator.store.verify import verify

    with step("verify") as outcome:
        found = verify(demo.run)
        if not found.ok:
            first = found.problems[0]
            raise RunFailed(
                f"{demo.run} is not as it should be: {first.kind}: {first.where}: {first.message}"
            )
        outcome.append(f"each of the {found.planned} images has exactly one row")


def _evaluate(demo: Demo, step: Steps) -> dict[str, Any]:
    from annotator.evaluate.evaluation import evaluate
    from annotator.store.reader import Run

    with step("evaluate") as outcome:
        figures = evaluate(Run(demo.run), demo.truth)
        for kind, name in (("keypoints", "keypoint AP"), ("bbox", "box AP")):
            value = figures[kind]["AP"]
            outcome.append(f"{name} {'-' if value is None else f'{value:.3f}'}")
        outcome.append(f"against the truth of {figures['gt_people']} people")
    return figures


def _export(demo: Demo, step: Steps) -> None:
    from annotator.export.coco import write_coco
    from annotator.store.reader import Run

    with step("export") as outcome:
        written = write_coco(Run(demo.run), demo.annotations)
        outcome.append(f"COCO keypoints of all {written.people} boxes, unsure ones too, by score")


def _report(demo: Demo, step: Steps) -> None:
    from annotator.report.page import write_report
    from annotator.store.reader import Run

    with step("report") as outcome:
        written = write_report(Run(demo.run), gt=demo.truth)
        outcome.append(f"one HTML file, {written.bytes / 1e6:.1f} MB")
