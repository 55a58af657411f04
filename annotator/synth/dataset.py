"""Pictures on disk with their COCO file, made by any number of processes; slices join without a seam."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from annotator.errors import UserError
from annotator.skeletons import COCO_17
from annotator.synth.image import generate_image
from annotator.synth.seeds import generator

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
    workers: int | None = None,
    start: int = 0,
    ray: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write pictures `start` .. `start + n - 1` of collection `seed` and `person_keypoints.json`.

    Args:
        out: folder; made when missing.
        workers: processes; None takes one a CPU core. The files do not depend on it.
        ray: spread the slices over a Ray cluster (the folder must be shared by its machines).
        progress: called with the number of pictures just finished.

    Returns:
        The path of the annotation file.

    Raises:
        UserError: the size is unusable or the folder cannot be written.
    """
    if min(size) < 32:
        raise UserError(f"pictures of {size[0]}x{size[1]} are too small: 32x32 is the least")
    out = Path(out)
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
    for made in map_jobs(write_slice, jobs, workers, ray):
        for image, people in made:
            images.append(image)
            annotations += people
        if progress:
            progress(len(made))
    coco = {
        "info": {"description": f"synthetic people, seed {seed}, pictures {start} to {start + n - 1}"},
        "licenses": [
            {"id": 1, "name": "CC0-1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}
        ],
        "categories": [CATEGORY],
        "images": images,
        "annotations": annotations,
    }
    return write_json(out / ANNOTATIONS, coco)


def write_json(path: Path, data: dict) -> Path:
    """Write through a temporary name, so that a reader never sees half a file."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(data, separators=(",", ":")))
    partial.replace(path)
    return path


def map_jobs(function: Callable[[Any], Any], jobs: list, workers: int | None, ray: bool) -> Iterator[Any]:
    """Results in the order of the jobs, from this process, a pool of spawned ones, or Ray tasks."""
    if ray:
        yield from _map_ray(function, jobs)
        return
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    if workers <= 1:
        yield from map(function, jobs)
        return
    import multiprocessing

    with _one_thread_each(), multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(function, jobs)


def _map_ray(function: Callable[[Any], Any], jobs: list) -> Iterator[Any]:
    import ray

    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    task = ray.remote(num_cpus=1)(function)
    ahead = max(4, 2 * int(ray.cluster_resources().get("CPU", 2)))
    pending = []
    for job in jobs:
        pending.append(task.remote(job))
        if len(pending) >= ahead:
            yield ray.get(pending.pop(0))
    while pending:
        yield ray.get(pending.pop(0))


def single_threaded() -> None:
    """One process a core is faster than many threads on small pictures."""
    import cv2

    cv2.setNumThreads(1)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Children read these when they import numpy; the parent keeps what it had."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
