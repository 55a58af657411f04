"""What an engine or precision does to trained weights: keypoint AP and shifts on photos with ground truth.

python jobs/precision_on_photos.py ASSETS [DEVICE]
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from annotator.media.image import ImageLimits, read_image
from annotator.models.sources import resolve_pose
from annotator.models.topdown import TopDown
from annotator.people import Poses

ENGINES = {
    "cpu": (("torch", "fp32"), ("onnx", "fp32"), ("torch", "bf16")),
    "cuda": (("torch", "fp32"), ("torch", "bf16"), ("torch", "fp16")),
}


def main(assets: Path, device: str = "cpu") -> None:
    """Print one line an engine; shifts are against torch in fp32, in pixels of the photo."""
    truth_file = assets / "photos" / "person_keypoints.json"
    truth = json.loads(truth_file.read_text())
    people: dict[int, list[list[float]]] = {}
    for one in truth["annotations"]:
        if not one["iscrowd"]:
            x, y, w, h = one["bbox"]
            people.setdefault(one["image_id"], []).append([x, y, x + w, y + h])
    entries = [entry for entry in truth["images"] if entry["id"] in people]
    folder = assets / "photos" / "images"
    photos = [read_image(str(folder / entry["file_name"]), ImageLimits()).pixels for entry in entries]
    boxes = [np.array(people[entry["id"]]) for entry in entries]
    weights = assets / "weights"
    source = resolve_pose(str(weights / "tinypose_256x192.py"), str(weights / "tinypose_256x192.pth"))
    reference = None
    for engine, precision in ENGINES[device.partition(":")[0]]:
        model = TopDown(source, engine=engine, precision=precision, device=device)
        found = model.estimate(photos, boxes)
        keypoints = np.concatenate([one.keypoints for one in found])
        reference = keypoints if reference is None else reference
        shift = np.linalg.norm(keypoints - reference, axis=-1)
        ap = average_precision(truth_file, entries, found)
        half, most, nearly_all = np.percentile(shift, [50, 99, 99.9])
        print(
            f"tinypose {engine} {precision}: AP {ap:.4f}, shift median {half:.4f}, 99% {most:.3f}, "
            f"99.9% {nearly_all:.3f} px",
            flush=True,
        )


def average_precision(truth_file: Path, entries: list[dict[str, Any]], found: list[Poses]) -> float:
    """COCO keypoint AP by pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    results = [
        {
            "image_id": entry["id"],
            "category_id": 1,
            "keypoints": np.concatenate([keypoints, scores[:, None]], axis=1).ravel().tolist(),
            "score": float(score),
        }
        for entry, poses in zip(entries, found, strict=True)
        for keypoints, scores, score in zip(poses.keypoints, poses.keypoint_scores, poses.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(truth_file))
        found_by_id = truth.loadRes(results)  # pyright: ignore[reportArgumentType]
        evaluation = COCOeval(truth, found_by_id, "keypoints")
        evaluation.params.catIds = [1]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
