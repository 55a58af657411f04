"""Draw docs/images/synth.jpg: synthetic pictures with their boxes and skeletons.

    python jobs/contact_sheet.py docs/images/synth.jpg --seed 1 --count 24

Filled dots are joints that are seen (v = 2), rings are hidden ones (v = 1).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from annotator.skeletons import COCO_17
from annotator.synth import generate_image

LEFT, RIGHT, BONE, BOX = (70, 230, 70), (255, 80, 80), (60, 190, 255), (255, 225, 0)


def draw(pixels: np.ndarray, annotations: list[dict[str, Any]]) -> np.ndarray:
    """A copy of (H, W, 3) uint8 RGB with boxes, bones and joints."""
    image = pixels.copy()
    for annotation in annotations:
        keypoints = np.array(annotation["keypoints"]).reshape(17, 3)
        spots = [(round(float(x)), round(float(y))) for x, y, _ in keypoints]
        x, y, w, h = (int(v) for v in annotation["bbox"])
        cv2.rectangle(image, (x, y), (x + w - 1, y + h - 1), BOX, 1)
        for a, b in COCO_17.edges:
            if keypoints[a, 2] and keypoints[b, 2]:
                cv2.line(image, spots[a], spots[b], BONE, 1, cv2.LINE_AA)
        for joint, spot in enumerate(spots):
            if keypoints[joint, 2]:
                color = LEFT if joint % 2 else RIGHT
                cv2.circle(image, spot, 3, color, -1 if keypoints[joint, 2] == 2 else 1, cv2.LINE_AA)
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--width", type=int, default=1800)
    parser.add_argument("--plain", action="store_true", help="without boxes and skeletons")
    args = parser.parse_args()
    tiles = []
    for index in range(args.count):
        pixels, annotations = generate_image(args.seed, index)
        tiles.append(pixels if args.plain else draw(pixels, annotations))
    rows = [np.concatenate(tiles[i : i + args.columns], 1) for i in range(0, len(tiles), args.columns)]
    sheet = np.concatenate([row for row in rows if row.shape == rows[0].shape])
    height = round(sheet.shape[0] * args.width / sheet.shape[1])
    sheet = cv2.resize(sheet, (args.width, height), interpolation=cv2.INTER_AREA)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.out), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 84])


if __name__ == "__main__":
    main()
