"""Draw the picture at the top of the README: synthetic people, annotated by a model, with their skeletons.

    .venv/bin/python jobs/overview_picture.py
    .venv/bin/python jobs/overview_picture.py --pose CONFIG.py --pose-weights FILE --indices 3,8,12 --seed 5

Pictures are made anew, so nobody's photo is in it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np

from annotator.config import load_config
from annotator.media.image import read_image
from annotator.report.drawing import draw_people
from annotator.runtime.launch import launch
from annotator.runtime.progress import ProgressBar
from annotator.store.reader import Run
from annotator.synth.dataset import IMAGES_DIR, write_image

# Chosen by eye from the first pictures of collection 7: several places, poses and sizes.
INDICES = (3, 5, 8, 13, 15, 20, 21, 22)
SEED = 7
SIZE = (640, 480)
COLUMNS, GAP = 4, 4
WIDTH = 1200
MOST_BYTES = 300_000
PAPER = (246, 247, 249)


def main() -> None:
    arguments = _parse()
    with tempfile.TemporaryDirectory() as folder:
        rows = annotate(Path(folder), arguments)
    sheet = contact_sheet(rows)
    quality = save(sheet, arguments.out)
    kilobytes = arguments.out.stat().st_size / 1000
    print(f"{arguments.out}: {sheet.shape[1]} x {sheet.shape[0]} px, {kilobytes:.0f} kB, quality {quality}")


def annotate(folder: Path, arguments: argparse.Namespace) -> list[np.ndarray]:
    """Make the pictures, run the models on them, and draw who was found; (480, 640, 3) uint8 RGB each."""
    (folder / IMAGES_DIR).mkdir()
    for index in arguments.indices:
        write_image(folder, arguments.seed, index, SIZE)
    given = {
        "inputs": (str(folder / IMAGES_DIR),),
        "out": str(folder / "run"),
        "pose": arguments.pose,
        "pose_weights": arguments.pose_weights,
        "detector": arguments.detector,
        "detector_weights": arguments.detector_weights,
        "executor": "inline",
    }
    with ProgressBar() as bar:
        launch(load_config(None, given, []), bar)
    return draw_run(Run(folder / "run"), arguments.threshold)


def draw_run(run: Run, threshold: float) -> list[np.ndarray]:
    """The pictures of a run, by name, with the people whose box scores `threshold` or more."""
    people: dict[int, list[np.ndarray]] = {}
    for batch in run.instances(["image_id", "keypoints", "bbox_score"]):
        for row in batch.to_pylist():
            if row["bbox_score"] >= threshold:
                people.setdefault(row["image_id"], []).append(np.reshape(row["keypoints"], (-1, 3)))
    drawn = []
    for batch in run.images(["image_id", "uri"]):
        for row in batch.to_pylist():
            pixels = read_image(row["uri"]).pixels
            found = people.get(row["image_id"])
            drawn.append(draw_people(pixels, np.array(found), run.skeleton) if found else pixels)
    return drawn


def contact_sheet(pictures: list[np.ndarray]) -> np.ndarray:
    """The pictures in rows of `COLUMNS`, `WIDTH` pixels wide in all, with gaps of `GAP` pixels."""
    wide = (WIDTH - GAP * (COLUMNS - 1)) // COLUMNS
    tall = round(wide * SIZE[1] / SIZE[0])
    rows = -(-len(pictures) // COLUMNS)
    sheet = np.empty((rows * (tall + GAP) - GAP, COLUMNS * (wide + GAP) - GAP, 3), np.uint8)
    sheet[:] = PAPER
    for n, picture in enumerate(pictures):
        y, x = (n // COLUMNS) * (tall + GAP), (n % COLUMNS) * (wide + GAP)
        sheet[y : y + tall, x : x + wide] = cv2.resize(picture, (wide, tall), interpolation=cv2.INTER_AREA)
    return sheet


def save(sheet: np.ndarray, path: Path) -> int:
    """Write a JPEG below `MOST_BYTES`, as good as possible; returns its quality."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for quality in range(92, 40, -4):
        _, jpeg = cv2.imencode(
            ".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        if len(jpeg) <= MOST_BYTES:
            path.write_bytes(jpeg.tobytes())
            return quality
    raise SystemExit(f"the sheet does not fit into {MOST_BYTES:,} bytes; choose fewer pictures")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/overview.jpg"))
    parser.add_argument("--pose", default="demo-pose")
    parser.add_argument("--pose-weights")
    parser.add_argument("--detector", default="demo-detector")
    parser.add_argument("--detector-weights")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--indices", type=_numbers, default=INDICES, help="which pictures of the collection")
    parser.add_argument("--threshold", type=float, default=0.5, help="least box score of a person drawn")
    return parser.parse_args()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


if __name__ == "__main__":
    main()
