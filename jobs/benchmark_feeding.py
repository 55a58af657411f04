"""A short 1080p film through the whole line with a large pose model: does the model ever wait for frames?

    python jobs/benchmark_feeding.py FOLDER [--frames 24] [--pose hrnet-w48-udp] [--threads N] [--film FILE]

Makes a film of pasted people in FOLDER (or takes the frames of FILE, scaled up), and annotates it as
`annotator run` does, in this process, with the demo detector and random weights for the pose model: they
cost what trained ones do. Prints the run's own figures: efficiency is the time that the networks alone would
have needed over the time that the worker took, and the rest by stage.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

SIZE, FPS = (1920, 1080), 25


def pictures(film: str | None) -> Iterator[np.ndarray]:
    """Frames, (1080, 1920, 3) uint8 RGB."""
    if film is None:
        from annotator.synth.quick import QuickFilm

        made = QuickFilm(0, 1, SIZE)
        yield from (made.frame(number, FPS)[0] for number in range(10_000))
        return
    import av

    with av.open(film) as container:
        for frame in container.decode(video=0):
            yield frame.reformat(*SIZE, format="rgb24").to_ndarray()


def write_film(path: Path, frames: int, film: str | None) -> None:
    """An H.264 film of so many frames, a keyframe a second."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "medium", "crf": "20"})
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.codec_context.gop_size = "yuv420p", FPS
        for number, picture in enumerate(islice(pictures(film), frames)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def main() -> None:
    """Make, annotate, print; exits 1 if the run failed or found nobody."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--pose", default="hrnet-w48-udp")
    parser.add_argument("--threads", type=int, help="of torch; default: as many as there are cores")
    parser.add_argument("--film", help="take frames from this file")
    options = parser.parse_args()
    import torch
    import typer
    from typer.testing import CliRunner

    from annotator.cli.run import run
    from annotator.models import demo

    if options.threads:
        torch.set_num_threads(options.threads)
    options.folder.mkdir(parents=True, exist_ok=True)
    film, out = options.folder / "film.mp4", options.folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    write_film(film, options.frames, options.film)
    program = typer.Typer()
    program.command()(run)
    done = CliRunner().invoke(
        program,
        [
            str(film), "--out", str(out), "--pose", options.pose, "--pose-weights", "random",
            "--detector", demo.DETECTOR.name, "--executor", "inline", "--no-track", "--json",
            "--set", "quiet=true", "--set", "detector_threshold=0.3",
        ],
    )  # fmt: skip
    if done.exit_code:
        sys.exit(f"the run failed: {done.exception or done.output}")
    figures = json.loads(done.stdout)["efficiency"]
    frames, seconds = options.frames, figures["worker_seconds"]
    people = figures["people_per_second"] * seconds
    print(f"{frames} frames, {people:.0f} people, {torch.get_num_threads()} threads: {seconds:.1f} s")
    print(
        f"efficiency {figures['efficiency']:.3f}, a network at work {figures['device_busy']:.3f} of the time"
    )
    for stage, lost in figures["lost_seconds"].items():
        print(f"  {stage:<10} {lost:7.2f} s beyond the networks ({lost / seconds:.1%})")
    sys.exit(0 if people else "nobody was found")


if __name__ == "__main__":
    main()
