"""Judge a detector and a pose model on a COCO folder: box AP, keypoint AP with true and with detected boxes.

    python jobs/train_demo/evaluate.py DATA/test --pose WORK/pose.safetensors
    python jobs/train_demo/evaluate.py PHOTOS

Without files of weights, as `to_safetensors.py` writes them, the ones that ship are judged. Annotations are
split over parts, or in one file. Scores and crops are the product's own; so is the flip test.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from annotator.errors import UserError
from annotator.synth.dataset import ANNOTATIONS, IMAGES_DIR

FIGURES = ("AP", "AP50", "AP75", "APM", "APL")
_PLACES = {"keypoints": (0, 1, 2, 3, 4), "bbox": (0, 1, 2, 4, 5)}  # in COCOeval.stats


@dataclass(frozen=True)
class Pictures:
    """A COCO ground truth and where its images are, by id."""

    truth: dict[str, Any]
    paths: dict[int, Path]


def read_pictures(root: Path, limit: int | None = None) -> Pictures:
    """All parts under `root`, or `root` itself; at most `limit` images."""
    files = [root / ANNOTATIONS] if (root / ANNOTATIONS).is_file() else sorted(root.glob(f"*/{ANNOTATIONS}"))
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    paths: dict[int, Path] = {}
    for file in files:
        part = json.loads(file.read_text())
        person = next(category["id"] for category in part["categories"] if category["name"] == "person")
        truth["categories"] = [{"id": 1, "name": "person"}]
        for image in part["images"]:
            if limit is None or len(paths) < limit:
                truth["images"].append(image)
                paths[image["id"]] = file.parent / IMAGES_DIR / image["file_name"]
        for annotation in part["annotations"]:
            if annotation["image_id"] in paths and annotation["category_id"] == person:
                truth["annotations"].append(
                    annotation | {"category_id": 1, "id": len(truth["annotations"]) + 1}
                )
    return Pictures(truth, paths)


def judge(pictures: Pictures, pose: Any = None, detector: Any = None) -> dict[str, dict[str, float]]:
    """ "keypoints, true boxes" of the pose model, "boxes" of the detector, "keypoints" by both."""
    people: dict[int, list[np.ndarray]] = {image_id: [] for image_id in pictures.paths}
    for annotation in pictures.truth["annotations"]:
        if not annotation["iscrowd"] and annotation.get("num_keypoints"):
            x, y, w, h = annotation["bbox"]
            people[annotation["image_id"]].append(np.array([x, y, x + w, y + h], np.float64))
    results: dict[str, list[dict]] = {"keypoints, true boxes": [], "boxes": [], "keypoints": []}
    for image_id, path in pictures.paths.items():
        read = cv2.imread(str(path))
        if read is None:
            raise UserError(f"cannot read {path}")
        pixels = np.ascontiguousarray(read[..., ::-1])
        if pose is not None and people[image_id]:
            found = pose.estimate([pixels], [np.stack(people[image_id])])[0]
            results["keypoints, true boxes"] += _rows(image_id, found)
        if detector is not None:
            boxes = detector.detect([detector.prepare(pixels)])[0]
            for (x1, y1, x2, y2), score in zip(boxes.bboxes.tolist(), boxes.scores.tolist(), strict=True):
                bbox = [x1, y1, x2 - x1, y2 - y1]
                row = {"image_id": image_id, "category_id": 1, "bbox": bbox, "score": score}
                results["boxes"].append(row)
            if pose is not None and len(boxes):
                results["keypoints"] += _rows(image_id, pose.estimate([pixels], [boxes])[0])
    figures = {}
    for name, rows in results.items():
        asked = (pose is not None or name == "boxes") and (
            detector is not None or name.endswith("true boxes")
        )
        if asked:
            figures[name] = coco_figures(pictures.truth, rows, "bbox" if name == "boxes" else "keypoints")
    return figures


def _rows(image_id: int, poses: Any) -> list[dict]:
    return [
        {
            "image_id": image_id,
            "category_id": 1,
            "keypoints": np.concatenate([xy, confidence[:, None]], axis=1).ravel().tolist(),
            "score": float(score),
        }
        for xy, confidence, score in zip(poses.keypoints, poses.keypoint_scores, poses.scores, strict=True)
    ]


def coco_figures(truth: Any, rows: Any, kind: Literal["bbox", "keypoints"]) -> dict[str, float]:
    """AP, AP50, AP75, APM, APL by pycocotools; all 0 when nothing was found."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not rows:
        return dict.fromkeys(FIGURES, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(rows), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {
        name: round(float(evaluation.stats[i]), 4) for name, i in zip(FIGURES, _PLACES[kind], strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--pose", help="weights to judge in place of the ones that ship; 'none' for no pose model"
    )
    parser.add_argument("--detector", help="likewise")
    parser.add_argument("--limit", type=int, help="images at most")
    options = parser.parse_args()
    from annotator.models.demo import DETECTOR, POSE
    from annotator.models.detector import Detector
    from annotator.models.sources import resolve_detector, resolve_pose
    from annotator.models.topdown import TopDown

    pose = detector = None
    if options.pose != "none":
        pose = TopDown(resolve_pose(str(POSE.config), options.pose or str(POSE.weights)))
    if options.detector != "none":
        source = resolve_detector(str(DETECTOR.config), options.detector or str(DETECTOR.weights))
        detector = Detector(source, score_threshold=0.05)
    for name, figures in judge(read_pictures(options.data, options.limit), pose, detector).items():
        print(f"{name}: " + "  ".join(f"{key} {value:.4f}" for key, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
