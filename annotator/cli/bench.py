"""`annotator bench`: how many times faster than the loop one would write, with the same answers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from annotator.models.sources import ModelSource

Option = typer.Option


def bench(
    images: Annotated[str, Option(metavar="DIR", help="Photos to look at.")],
    pose: Annotated[str, Option(metavar="NAME|CONFIG.py", help="Pose model.")],
    pose_weights: Annotated[
        str | None,
        Option(metavar="FILE", help="Checkpoint.", show_default="official ones if here, else random"),
    ] = None,
    detector: Annotated[
        str | None,
        Option(metavar="NAME|CONFIG.py", help="Finds the people, on both sides.", show_default=False),
    ] = None,
    detector_weights: Annotated[str | None, Option(metavar="FILE", show_default=False)] = None,
    boxes: Annotated[
        str | None,
        Option(metavar="COCO.json", help="Boxes without a detector.", show_default="made up"),
    ] = None,
    weights_dir: Annotated[str | None, Option(metavar="DIR", show_default=False)] = None,
    against: Annotated[Literal["mmpose", "rtmlib"], Option(help="Whom to race.")] = "mmpose",
    flip: Annotated[
        bool | None, Option("--flip/--no-flip", help="Flip test.", show_default="as the config says")
    ] = None,
    engine: Annotated[Literal["auto", "torch", "compile", "onnx", "tensorrt"], Option()] = "auto",
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16"], Option()] = "auto",
    device: Annotated[str, Option(help="cpu, cuda or cuda:N.")] = "cpu",
    rounds: Annotated[int, Option(min=1, help="Turns of each side.")] = 3,
    repeat: Annotated[
        int, Option(min=1, help="How often we look at the photos in a turn: a GPU is done in milliseconds.")
    ] = 1,
    people: Annotated[
        int | None,
        Option(min=1, help="At most so many boxes; with a detector, photos.", show_default=False),
    ] = None,
    threads: Annotated[int | None, Option(min=1, help="On both sides.", show_default="all cores")] = None,
    batch_people: Annotated[int, Option(min=1, help="Of our line.")] = 32,
    json_file: Annotated[
        str | None, Option(metavar="FILE", help="Add the result to a list in FILE.", show_default=False)
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Race our line against MMPose's own loop (or rtmlib) on the same photos, boxes, weights and threads.

    Both take turns in one process, after their keypoints have been found to agree.
    """
    from annotator.bench.benchmark import Settings, benchmark
    from annotator.bench.photos import photos_of
    from annotator.bench.table import describe
    from annotator.cli import print_json

    photos = photos_of(images, boxes, detector is not None, people)
    result = benchmark(
        Settings(
            pose=_source("pose", pose, pose_weights, weights_dir),
            detector=None
            if detector is None
            else _source("detector", detector, detector_weights, weights_dir),
            against=against,
            flip=flip,
            engine=engine,
            precision=precision,
            rounds=rounds,
            threads=threads or len(os.sched_getaffinity(0)),
            batch_people=batch_people,
            device=device,
            repeat=repeat,
        ),
        photos,
        lambda line: print(line, file=sys.stderr, flush=True),
    ).to_dict()
    if json_file is not None:
        _add(Path(json_file), result)
    if as_json:
        print_json(result)
    else:
        print(describe(result))


def _source(
    kind: Literal["pose", "detector"], name: str, weights: str | None, folder: str | None
) -> ModelSource:
    """The model, with random weights where no others are at hand."""
    from annotator.models.sources import RANDOM, is_config_file, resolve_detector, resolve_pose
    from annotator.models.weights import fetch
    from annotator.models.zoo import catalogue

    if weights is None:
        find = catalogue.find_pose if kind == "pose" else catalogue.find_detector
        entry = None if is_config_file(name) else find(name)
        at_hand = entry is not None and (
            entry.weights is not None or (entry.url and fetch.find(entry.url, folder) is not None)
        )
        weights = None if at_hand else RANDOM
    return (resolve_pose if kind == "pose" else resolve_detector)(name, weights, folder)


def _add(path: Path, result: dict) -> None:
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([*results, result], indent=1) + "\n", encoding="utf-8")
