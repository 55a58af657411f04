"""`annotator synth`: pictures and films of people made to order."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def synth(
    out: Annotated[Path, typer.Argument(help="Folder to write to; made when missing.")],
    images: Annotated[int, typer.Option(min=0, help="How many pictures.")] = 0,
    videos: Annotated[int, typer.Option(min=0, help="How many films.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another collection.")] = 0,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels.")] = "640x480",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a CPU core by default.")] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Spread the work by Ray.")] = False,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to spread over; its machines share OUT.")
    ] = None,
    start: Annotated[int, typer.Option(min=0, help="Index of the first picture and film.")] = 0,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of a film.")] = 4.0,
    fps: Annotated[float, typer.Option(min=1, help="Frames a second of a film.")] = 12.0,
    quick: Annotated[bool, typer.Option("--quick", help="Films of pasted people, for load tests.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make pictures and films of synthetic people with exact COCO ground truth."""
    from contextlib import nullcontext

    from tqdm import tqdm

    from annotator.cli import print_json
    from annotator.errors import UserError
    from annotator.synth.dataset import write_images
    from annotator.synth.film import write_films
    from annotator.synth.spread import over_processes

    if not images and not videos:
        raise UserError("nothing to make: say how many with --images N or --videos M")
    area = _parse_size(size)
    if ray or address:
        from annotator.runtime.ray.spread import over_ray

        spreading = over_ray(address)
    else:
        spreading = nullcontext(over_processes(workers))
    progress = sys.stderr if as_json else sys.stdout
    made: dict[str, dict[str, int | str] | None] = {"pictures": None, "films": None}
    with spreading as spread:
        if images:
            with tqdm(total=images, unit="image", desc="pictures") as bar:
                path = write_images(out, images, seed, area, spread, start, bar.update)
            print(f"pictures: {images:,}, truth in {path}", file=progress)
            made["pictures"] = {"count": images, "truth": str(path)}
        if videos:
            with tqdm(total=videos, unit="film", desc="films") as bar:
                path = write_films(out, videos, seed, area, seconds, fps, spread, start, quick, bar.update)
            print(f"films: {videos:,}, truth in {path}", file=progress)
            made["films"] = {"count": videos, "truth": str(path)}
    if as_json:
        print_json(made)


def _parse_size(size: str) -> tuple[int, int]:
    from annotator.errors import UserError

    width, _, height = size.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise UserError(f"--size {size!r} is not WIDTHxHEIGHT, such as 640x480")
    return int(width), int(height)
