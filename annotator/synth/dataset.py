"""Pictures on disk with their COCO file, whoever makes them; slices join without a seam."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from annotator.errors import UserError
from annotator.skeletons import COCO_17
from annotator.synth.image import generate_image
from annotator.synth.seeds import generator
from annotator.synth.spread import Spread, over_processes, single_threaded

IMAGES_DIR = "images"
ANNOTATIONS = "person_keypoints.json"
SLICE = 8  # pictures a task makes
_IDS_A_PICTURE = 100  # annotation ids are index * 100 + n + 1, so that slices never share one
_QUALITY = 3  # random stream of the JPEG quality

CATEGORY: dict[str, Any] = {
    "id": 1,
    "name": "person",
    "supercategory": "person",
    "keypoints": list(COCO_17.keypoints),
    "skeleton": [[a + 1, b + 1] for a, b in COCO_17.edges],
}

Progress = Callable[[int], object]


def image_name(index: int) -> str:
    return f"{index:08d}.jpg"


def write_image(out: Path, seed: int, index: int, size: tuple[int, int]) -> tuple[dict, list[dict]]:
    """Make and write one picture; returns its COCO image and annotations."""
    import cv2

    pixels, annotations = generate_image(seed, index, size)
    quality = int(generator(seed, _QUALITY, index).integers(55, 97))
    path = out / IMAGES_DIR / image_name(index)
    if not cv2.imwrite(str(path), pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality]):
        raise UserError(f"cannot write {path}: check that the folder is writable and the disk is not full")
    image = {"id": index, "file_name": image_name(index), "width": size[0], "height": size[1]}
    for n, annotation in enumerate(annotations):
        annotation.update(id=index * _IDS_A_PICTURE + n + 1, image_id=index)
    return image, annotations


def write_slice(job: tuple[str, int, int, int, tuple[int, int]]) -> list[tuple[dict, list[dict]]]:
    """One task: (out, seed, first index, count, size)."""
    single_threaded()
    out, seed, first, count, size = job
    return [write_image(Path(out), seed, index, size) for index in range(first, first + count)]


def write_images(
    out: str | Path,
    n: int,
    seed: int = 0,
    size: tuple[int, int] = (640, 480),
    spread: Spread | None = None,
    start: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Write pictures `start` .. `start + n - 1` of collection `seed` and `person_keypoints.json`.

    Args:
        out: folder; made when missing. Earlier slices of the collection that are there stay in the file.
        spread: who makes the slices, by default one process a CPU core; machines need to share the folder.
            The files do not depend on it.
        progress: called with the number of pictures just finished.

    Returns:
        The path of the annotation file.

    Raises:
        UserError: the size is unusable, the folder cannot be written, or holds the truth of other pictures.
    """
    if min(size) < 32:
        raise UserError(f"pictures of {size[0]}x{size[1]} are too small: 32x32 is the least")
    out = Path(out)
    info = {"description": "synthetic people", "seed": seed, "size": f"{size[0]}x{size[1]}"}
    read_truth(out / ANNOTATIONS, info)
    try:
        (out / IMAGES_DIR).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {out / IMAGES_DIR}: {error.strerror or error}") from error
    jobs = [
        (str(out.absolute()), seed, first, min(SLICE, start + n - first), size)
        for first in range(start, start + n, SLICE)
    ]
    images: list[dict] = []
    annotations: list[dict] = []
    for made in (spread or over_processes())(write_slice, jobs):
        for image, people in made:
            images.append(image)
            annotations += people
        if progress:
            progress(len(made))
    coco = {
        "info": info,
        "licenses": [
            {"id": 1, "name": "CC0-1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}
        ],
        "categories": [CATEGORY],
        "images": images,
        "annotations": annotations,
    }
    return join_truth(out / ANNOTATIONS, coco)


def read_truth(path: Path, info: dict[str, Any]) -> dict[str, Any]:
    """The COCO file of earlier slices; empty without one.

    Args:
        info: seed and settings, as they stand in the file.

    Raises:
        UserError: it is of another seed or other settings, or cannot be read.
    """
    try:
        coco = json.loads(path.read_text())
        was = _in_words(coco["info"])
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is there and cannot be added to ({error}): name another folder") from None
    if coco["info"] != info:
        raise UserError(f"{path} is of {was}; name another folder for {_in_words(info)}")
    return coco


def _in_words(info: dict[str, Any]) -> str:
    return ", ".join(str(v) if name == "description" else f"{name} {v}" for name, v in info.items())


def join_truth(path: Path, coco: dict[str, Any]) -> Path:
    """Write the COCO file of a slice together with what it holds of earlier ones, in the order of ids.

    Raises:
        UserError: as `read_truth`.
    """
    before = read_truth(path, coco["info"])
    again = {image["id"] for image in coco["images"]}
    # Of a picture that was made again nobody stays whom an earlier version of the program drew.
    before["annotations"] = [p for p in before.get("annotations", ()) if p["image_id"] not in again]
    for table in coco.keys() & {"videos", "images", "annotations"}:
        rows = {row["id"]: row for row in (*before.get(table, ()), *coco[table])}
        coco[table] = [rows[number] for number in sorted(rows)]
    return write_json(path, coco)


def write_json(path: Path, data: dict) -> Path:
    """Write through a temporary name, so that a reader never sees half a file."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(data, separators=(",", ":")))
    partial.replace(path)
    return path
