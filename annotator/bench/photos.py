"""What both sides look at: photo files, and the boxes of people in them where no detector finds them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from annotator.errors import ItemError, UserError
from annotator.media.image import ImageLimits, read_image
from annotator.parity.pictures import made_boxes


@dataclass(frozen=True)
class Photo:
    """A photo file.

    Attributes:
        path: of the file.
        boxes: (N, 4) float64 [x1, y1, x2, y2], pixels of the upright image; None: a detector finds them.
    """

    path: str
    boxes: np.ndarray | None


def photos_of(folder: str, annotations: str | None, detected: bool, people: int | None) -> list[Photo]:
    """The photos of a folder.

    Args:
        folder: holds the files.
        annotations: COCO file with the boxes of people; without one, boxes are made up, two a photo.
        detected: boxes come from a detector.
        people: as many boxes in all, at most; photos without any are left out then. With a detector, as many
            photos.

    Raises:
        UserError: no such folder, or nothing in it can be read.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise UserError(f"--images {folder}: no such folder")
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    known = _annotated(annotations) if annotations else {}
    found: list[Photo] = []
    left = people if people is not None else 1 << 60
    for place, path in enumerate(paths):
        if left <= 0:
            break
        try:
            shape = read_image(str(path), ImageLimits()).pixels.shape[:2]
        except ItemError:
            continue
        if detected:
            found.append(Photo(str(path), None))
            left -= 1
            continue
        boxes = known.get(path.name, np.zeros((0, 4))) if annotations else made_boxes(shape, 2, seed=place)
        if len(boxes):
            found.append(Photo(str(path), boxes[:left]))
            left -= len(boxes)
    if not found:
        raise UserError(f"--images {folder}: no picture in it can be read, or none has people")
    return found


def _annotated(path: str) -> dict[str, np.ndarray]:
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        names = {image["id"]: Path(image["file_name"]).name for image in document["images"]}
        boxes: dict[str, list[Sequence[float]]] = {}
        for annotation in document["annotations"]:
            x, y, w, h = annotation["bbox"]
            if not annotation.get("iscrowd") and w > 0 and h > 0:
                boxes.setdefault(names[annotation["image_id"]], []).append((x, y, x + w, y + h))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"--boxes {path} is not a COCO file of people: {error}") from None
    return {name: np.array(rows, np.float64) for name, rows in boxes.items()}
