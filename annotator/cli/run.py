"""`annotator run`: inputs in, a run folder out."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated, Literal

import typer

Option = typer.Option


def run(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT...",
            help="Directories, globs, pictures, videos, lists, COCO JSON, CSV / JSONL / Parquet manifests.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        str | None,
        Option(
            "--out", "-o", metavar="RUN", help="Run folder; an existing one is continued.", show_default=False
        ),
    ] = None,
    from_run: Annotated[
        str | None,
        Option(
            "--from",
            metavar="RUN",
            help="A finished run instead of INPUT: only what is to be different is made anew in --out. A new "
            "--pose takes its boxes; thresholds, policy and calibration need no model.",
            show_default=False,
        ),
    ] = None,
    pose: Annotated[
        str | None,
        Option(metavar="NAME|CONFIG.py", help="Pose model.", show_default="vitpose-h"),
    ] = None,
    pose_weights: Annotated[
        str | None,
        Option(
            metavar="FILE", help="Its checkpoint; names of the catalogue bring their own.", show_default=False
        ),
    ] = None,
    detector: Annotated[
        str | None,
        Option(metavar="NAME|CONFIG.py", help="Person detector.", show_default="rtmdet-m"),
    ] = None,
    detector_weights: Annotated[str | None, Option(metavar="FILE", show_default=False)] = None,
    boxes: Annotated[
        str | None,
        Option(metavar="COCO.json", help="Person boxes to use instead of a detector.", show_default=False),
    ] = None,
    second_pose: Annotated[
        str | None,
        Option(
            metavar="NAME|CONFIG.py",
            help="Another pose model on the same boxes: how far both agree, joint by joint.",
            show_default=False,
        ),
    ] = None,
    second_pose_weights: Annotated[str | None, Option(metavar="FILE", show_default=False)] = None,
    cascade: Annotated[
        bool | None,
        Option(
            "--cascade",
            help="--second-pose poses only those of whom --pose is not sure.",
            show_default=False,
        ),
    ] = None,
    image_root: Annotated[
        str | None,
        Option(
            metavar="DIR", help="Where the file names of a COCO file or manifest start.", show_default=False
        ),
    ] = None,
    weights_dir: Annotated[
        str | None,
        Option(metavar="DIR", help="Where official weights are looked up and kept.", show_default=False),
    ] = None,
    engine: Annotated[
        Literal["auto", "torch", "compile", "onnx", "tensorrt"] | None,
        Option(help="What carries out the networks; auto takes what is fastest here.", show_default="auto"),
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"] | None,
        Option(help="What the networks calculate in.", show_default="auto"),
    ] = None,
    flip: Annotated[
        bool | None,
        Option("--flip/--no-flip", help="Flip test.", show_default="as the model's config says"),
    ] = None,
    visibility: Annotated[
        Literal["auto", "score-thresholds", "evidence"] | None,
        Option(help="How v is decided.", show_default="auto: evidence where calibrated"),
    ] = None,
    calibration: Annotated[
        str | None,
        Option(metavar="FILE", help="Probabilities from `annotator calibrate`.", show_default=False),
    ] = None,
    nms: Annotated[
        Literal["flag", "drop"] | None,
        Option(help="People whom OKS-NMS suppresses: flagged, or left out.", show_default="flag"),
    ] = None,
    device: Annotated[
        str | None,
        Option(help="auto, cpu or cuda; cuda:N with --executor inline.", show_default="auto"),
    ] = None,
    executor: Annotated[
        Literal["ray", "inline"] | None,
        Option(help="Worker processes by Ray, or all in this process.", show_default="ray"),
    ] = None,
    address: Annotated[
        str | None,
        Option(
            metavar="ADDR",
            help="Ray cluster to join; without it Ray starts on this machine.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None, Option(metavar="N", help="Worker processes.", show_default="one a GPU")
    ] = None,
    shard_size: Annotated[int | None, Option(metavar="N", help="Images a shard.", show_default="256")] = None,
    limit: Annotated[
        int | None, Option(metavar="N", help="Only the first N images or frames.", show_default=False)
    ] = None,
    every: Annotated[
        int | None, Option(metavar="N", help="Videos: only every N-th frame.", show_default=False)
    ] = None,
    fps: Annotated[
        float | None, Option(metavar="F", help="Videos: at most F frames a second.", show_default=False)
    ] = None,
    start: Annotated[
        float | None, Option(metavar="SECONDS", help="Videos: from this second on.", show_default=False)
    ] = None,
    end: Annotated[
        float | None, Option(metavar="SECONDS", help="Videos: up to this second.", show_default=False)
    ] = None,
    keyframes_only: Annotated[
        bool | None, Option("--keyframes-only", help="Videos: only keyframes.", show_default=False)
    ] = None,
    track: Annotated[
        bool | None,
        Option("--track/--no-track", help="Videos: follow people.", show_default="track"),
    ] = None,
    config: Annotated[
        str | None, Option(metavar="FILE", help="YAML file of settings.", show_default=False)
    ] = None,
    settings: Annotated[
        list[str] | None, Option("--set", metavar="KEY=VALUE", help="Any other setting.", show_default=False)
    ] = None,
    price_per_hour: Annotated[
        float | None,
        Option(min=0, metavar="PRICE", help="Of a worker: adds what the run costs.", show_default=False),
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Annotate images and videos: find the people, place their keypoints, write COCO rows to RUN.

    Running again on the same RUN goes on where it stopped.
    """
    # First of all, while the options are all that there is.
    arguments = locals()
    from annotator.cli import print_json
    from annotator.cli.run_report import describe, to_json
    from annotator.config import RunConfig, load_config
    from annotator.runtime.launch import launch
    from annotator.runtime.progress import ProgressBar
    from annotator.runtime.stopping import stopping_in_order

    given = {name: value for name, value in arguments.items() if name in RunConfig.model_fields}
    given["inputs"] = tuple(inputs) if inputs else None
    if from_run is not None:
        from annotator.runtime.derive import launch_from, settings_of

        run_config = load_config(config, given, settings or [], settings_of(from_run, given))
        carry_out = partial(launch_from, run_config, from_run)
    else:
        run_config = load_config(config, given, settings or [])
        carry_out = partial(launch, run_config)
    with stopping_in_order(), ProgressBar(quiet=run_config.quiet) as bar:
        report = carry_out(bar)
    if as_json:
        print_json(to_json(report, price_per_hour))
    else:
        print(describe(report, price_per_hour))
    sys.exit(report.exit_code)
