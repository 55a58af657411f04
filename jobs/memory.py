"""Whether memory stays flat: the resident set over many small pictures, from file to keypoints.

    python jobs/memory.py [--images 20000] [--size 160x120] [--threads 2] [--photo-megapixels 100]

Each picture is made on the fly by `annotator.synth` (pasted people, 1,000 pictures a second of CPU) and is a
file on a RAM disk until its keypoints are there. Afterwards a few huge photos, whose memory the settings
bound.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from annotator.bench.sides import Line, set_threads
from annotator.items import Item
from annotator.media.feed import ImageFeed
from annotator.models.detector import Detector
from annotator.models.sources import resolve_detector, resolve_pose
from annotator.models.topdown import TopDown
from annotator.runtime.line import StageClock, annotate
from annotator.synth import stream


def resident() -> float:
    """MiB of memory that this process holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def pictures(folder: Path, count: int, size: tuple[int, int]) -> Iterator[Item]:
    """`count` quick pictures, each written when it is asked for; whoever is done with one removes it."""
    for index, pixels, _ in stream(0, count=count, size=size, quick=True):
        path = folder / f"{index:08d}.jpg"
        cv2.imwrite(str(path), pixels[..., ::-1])
        yield Item(index, index, str(path), path.name, 0)


def run(line: Line, items: Iterator[Item], max_bytes: int, threads: int) -> Iterator[Item]:
    """Pictures that are done."""
    with ImageFeed(items, threads=threads, max_bytes=max_bytes, prepare=line._prepare) as feed:
        outcomes = annotate(feed, line.detector, line.pose, 16, StageClock(), max_bytes=max_bytes)  # type: ignore[arg-type]
        for outcome in outcomes:
            assert not isinstance(outcome.result, Exception), outcome.result
            yield outcome.item


def main() -> None:
    """Print the resident set as it goes, and its growth after a twentieth of the way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--size", default="160x120")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so long, however far it came")
    parser.add_argument("--photo-megapixels", type=int, default=100)
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    set_threads(given.threads)
    detector = Detector(resolve_detector("demo-detector"), engine="onnx", score_threshold=0.5)
    line = Line(
        TopDown(resolve_pose("demo-pose"), engine="onnx", flip=False), detector, threads=given.threads
    )
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        started = time.perf_counter()
        warm, start, peak, done = max(1, given.images // 20), 0.0, 0.0, 0
        items = pictures(Path(folder), given.images, (width, height))
        for item in run(line, items, 256 << 20, given.threads):
            Path(item.uri).unlink()
            done += 1
            if done == warm:
                start = peak = resident()
            if done > warm and done % 50 == 0:
                peak = max(peak, resident())
            if time.perf_counter() - started > given.seconds and done > warm:
                break
            if done % max(1, given.images // 10) == 0:
                print(f"{done:>7,} pictures: {resident():.0f} MiB", flush=True)
        end = resident()
        peak = max(peak, end)
        rate = done / (time.perf_counter() - started)
        print(f"{done:,} pictures, {rate:.0f} a second")
        print(
            f"growth after the first {warm:,} ({start:.0f} MiB): {end / start - 1:+.1%} at the end, "
            f"{peak / start - 1:+.1%} at most ({peak:.0f} MiB)",
            flush=True,
        )
        side = int((given.photo_megapixels * 1e6) ** 0.5)
        photo = Path(folder) / "huge.jpg"
        cv2.imwrite(str(photo), np.full((side, side, 3), 128, np.uint8))
        highest = 0.0
        for _ in run(line, (Item(i, i, str(photo), str(i), 0) for i in range(6)), 256 << 20, given.threads):
            highest = max(highest, resident())
        print(
            f"6 photos of {given.photo_megapixels} megapixels, 256 MiB for pixels: at most {highest:.0f} MiB"
        )


if __name__ == "__main__":
    main()
