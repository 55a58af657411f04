"""Make the pictures that the demo models are trained on and judged by, in parts that are COCO folders.

    python jobs/train_demo/make_data.py DATA/train --images 4000 --seed 1
    python jobs/train_demo/make_data.py DATA/test --images 400 --seed 2 --size 640x480

A part that is there is kept: the command can be repeated, and training begun on the parts that are finished.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from annotator.synth.dataset import ANNOTATIONS, write_images
from annotator.synth.spread import over_processes


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first picture: for several machines"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", default="480x360", help="width x height in pixels")
    parser.add_argument("--part", type=int, default=100, help="pictures in a part")
    parser.add_argument("--workers", type=int, default=None)
    options = parser.parse_args()
    width, height = (int(number) for number in options.size.split("x"))
    end = options.first + options.images
    for start in range(options.first, end, options.part):
        part = options.out / f"{start:06d}"
        if (part / ANNOTATIONS).is_file():
            continue
        count = min(options.part, end - start)
        write_images(part, count, options.seed, (width, height), over_processes(options.workers), start)
        print(f"{part}: {count} pictures", flush=True)


if __name__ == "__main__":
    main()
