"""COCO's own figures, by pycocotools: average precision and recall of keypoints and person boxes."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from annotator.errors import UserError
from annotator.evaluate.matching import Matching, match_images
from annotator.pose.oks import oks_nms
from annotator.store.reader import Run

KEYPOINT_FIGURES = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
BBOX_FIGURES = ("AP", "AP50", "AP75", "APS", "APM", "APL", "AR1", "AR10", "AR", "ARS", "ARM", "ARL")

# MMPose widens a box by this much before it crops, and takes the widened area as the person's size in NMS.
BOX_PADDING = 1.25
# Width over height of nearly every top-down model's input, for rows that do not say theirs.
USUAL_ASPECT = 192 / 256


def evaluate(
    run: Run, gt_path: str | Path, *, nms: Literal["oks", "none"] = "oks", nms_threshold: float = 0.9
) -> dict:
    """Evaluate a run's committed rows against a COCO keypoint file, as MMPose's `CocoMetric` does.

    Only images that the run has count (an error row counts as an image in which nobody was found). The rows
    themselves are not touched: NMS only chooses what is evaluated.

    Args:
        nms: "oks" leaves out people whose OKS with a better one exceeds `nms_threshold`, for keypoints only.

    Returns:
        {"keypoints": {"AP": ..., "AP50": ...}, "bbox": {...}, "matching": {...}, "images": images evaluated,
        "people": people evaluated, "gt_people": people in their ground truth, "nms": {...}}. A figure is None
        where the ground truth has nobody of that size.

    Raises:
        UserError: the file is no COCO keypoint ground truth, has other joints, or no image matches.
    """
    sigmas = np.array(run.skeleton.sigmas)
    gt, category = read_ground_truth(gt_path, len(sigmas))
    matching = match_images(_names(run), {image["id"]: image["file_name"] for image in gt["images"]})
    if not matching.gt_of:
        raise UserError(
            f"no image of {run.path} is in {gt_path}: neither ids nor file names agree "
            f"(the run has {', '.join(matching.unmatched[:3])}; the ground truth has "
            f"{', '.join(image['file_name'] for image in gt['images'][:3])})"
        )
    ids = sorted(matching.gt_of.values())
    boxes, poses, suppressed = _predictions(run, matching, category, sigmas, nms, nms_threshold)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _index(gt)
        keypoints = _figures(truth, poses, "keypoints", KEYPOINT_FIGURES, ids, category, sigmas)
        bbox = _figures(truth, boxes, "bbox", BBOX_FIGURES, ids, category, None)
        gt_people = len(truth.getAnnIds(imgIds=ids, catIds=[category]))
    return {
        "keypoints": keypoints,
        "bbox": bbox,
        "matching": matching.to_dict(),
        "images": len(ids),
        "people": len(boxes),
        "gt_people": gt_people,
        "nms": {"mode": nms, "threshold": nms_threshold, "left_out": suppressed},
    }


def read_ground_truth(path: str | Path, joints: int) -> tuple[dict[str, Any], int]:
    """The people of a COCO file, ready for pycocotools, and the id of their category.

    Left-out `area`, `iscrowd`, `keypoints` and `num_keypoints` are filled in, and annotations are numbered
    anew from 1: pycocotools takes the id 0 for "no match".

    Raises:
        UserError: unreadable, not COCO, without keypoints, or with another number of joints.
    """
    try:
        gt = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"cannot read the ground truth {path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from None
    lists = ("images", "annotations", "categories")
    if not isinstance(gt, dict) or not all(isinstance(gt.get(name), list) for name in lists):
        raise UserError(f"{path} is not a COCO ground truth: it needs lists named {', '.join(lists)}")
    if not any(annotation.get("keypoints") for annotation in gt["annotations"]):
        raise UserError(f"{path} has no keypoints: COCO's files with them are named person_keypoints_*.json")
    try:
        category = _person_category(gt, path)
        mine = (annotation for annotation in gt["annotations"] if annotation["category_id"] == category)
        people = [_person(annotation, number, path, joints) for number, annotation in enumerate(mine, 1)]
        images = [{**image, "id": image["id"], "file_name": image["file_name"]} for image in gt["images"]]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not a COCO ground truth: an entry lacks {error}") from None
    return {"images": images, "annotations": people, "categories": gt["categories"]}, category


def _person(annotation: dict[str, Any], number: int, path: str | Path, joints: int) -> dict[str, Any]:
    keypoints = annotation.get("keypoints") or [0] * (3 * joints)
    if len(keypoints) != 3 * joints:
        raise UserError(
            f"{path} has {len(keypoints) / 3:g} joints a person (annotation {annotation.get('id')}); "
            f"this run's skeleton has {joints}. Evaluate against ground truth of the same skeleton"
        )
    bbox = annotation["bbox"]
    return {
        "id": number,
        "image_id": annotation["image_id"],
        "category_id": annotation["category_id"],
        "bbox": bbox,
        "area": annotation.get("area", bbox[2] * bbox[3]),
        "iscrowd": annotation.get("iscrowd", 0),
        "keypoints": keypoints,
        "num_keypoints": annotation.get("num_keypoints", sum(v > 0 for v in keypoints[2::3])),
    }


def _person_category(gt: dict[str, Any], path: str | Path) -> int:
    """Id of the category called person, or else of the only one that keypoints have."""
    named = [category["id"] for category in gt["categories"] if category.get("name") == "person"]
    used = {annotation["category_id"] for annotation in gt["annotations"] if annotation.get("keypoints")}
    candidates = named or sorted(used)
    if len(candidates) != 1:
        raise UserError(
            f"{path}: which category is the person? No one is called so, and {sorted(used)} have keypoints"
        )
    return candidates[0]


def _names(run: Run) -> Iterator[tuple[int, str]]:
    for batch in run.images(["image_id", "file_name"]):
        yield from zip(batch["image_id"].to_pylist(), batch["file_name"].to_pylist(), strict=True)


def _predictions(
    run: Run, matching: Matching, category: int, sigmas: np.ndarray, nms: str, threshold: float
) -> tuple[list[dict], list[dict], int]:
    """COCO results of boxes and of keypoints, and how many people NMS left out of the latter."""
    boxes: list[dict] = []
    poses: list[dict] = []
    suppressed = 0
    size = run.metadata["pose_model"]["input_size"]
    for image_id, people in _by_image(run):
        gt_id = matching.gt_of.get(image_id)
        if gt_id is None:
            continue
        keep = range(len(people["score"]))
        if nms == "oks":
            areas = _crop_areas(people["bbox"], size)
            keep = oks_nms(people["keypoints"][..., :2], people["score"], areas, sigmas, threshold)
            suppressed += len(people["score"]) - len(keep)
        for bbox, score in zip(people["bbox"].tolist(), people["bbox_score"].tolist(), strict=True):
            boxes.append({"image_id": gt_id, "category_id": category, "bbox": bbox, "score": score})
        for person in keep:
            poses.append(
                {
                    "image_id": gt_id,
                    "category_id": category,
                    "keypoints": people["keypoints"][person].ravel().tolist(),
                    "score": float(people["score"][person]),
                    # With it pycocotools takes the box's area as the size, as it does for MMPose's results.
                    "bbox": people["bbox"][person].tolist(),
                }
            )
    return boxes, poses, suppressed


def _by_image(run: Run) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Each image with people: bbox (N, 4), keypoints (N, K, 3), score and bbox_score (N,)."""
    joints = len(run.skeleton)
    for batch in run.instances(["image_id", "bbox", "keypoints", "score", "bbox_score"]):
        n = batch.num_rows
        columns = {
            "bbox": batch["bbox"].flatten().to_numpy().reshape(n, 4),
            "keypoints": batch["keypoints"].flatten().to_numpy().reshape(n, joints, 3),
            "score": batch["score"].to_numpy(),
            "bbox_score": batch["bbox_score"].to_numpy(),
        }
        image_id = batch["image_id"].to_numpy()
        edges = np.flatnonzero(np.diff(image_id)) + 1
        for start, end in zip([0, *edges], [*edges, n], strict=True):
            if end > start:
                yield int(image_id[start]), {name: column[start:end] for name, column in columns.items()}


def _crop_areas(bboxes: np.ndarray, input_size: list[int] | None) -> np.ndarray:
    """Area of what the network saw of each person: the padded box, widened to the shape of the input."""
    w, h = bboxes[:, 2] * BOX_PADDING, bboxes[:, 3] * BOX_PADDING
    aspect = input_size[0] / input_size[1] if input_size else USUAL_ASPECT
    return np.maximum(w, h * aspect) * np.maximum(h, w / aspect)


def _index(dataset: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = dataset  # type: ignore[assignment]
    coco.createIndex()
    return coco


def _figures(
    truth: COCO,
    results: list[dict],
    kind: Literal["keypoints", "bbox"],
    names: tuple[str, ...],
    image_ids: list[int],
    category: int,
    sigmas: np.ndarray | None,
) -> dict[str, float | None]:
    # pycocotools cannot load an empty list of results.
    empty = {"images": truth.dataset["images"], "categories": truth.dataset["categories"], "annotations": []}
    found = truth.loadRes(results) if results else _index(empty)  # type: ignore[arg-type]
    evaluation = COCOeval(truth, found, kind)
    evaluation.params.imgIds = image_ids
    evaluation.params.catIds = [category]
    if sigmas is not None:
        evaluation.params.kpt_oks_sigmas = sigmas
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    # It says -1 where nothing could be counted.
    return {name: float(v) if v >= 0 else None for name, v in zip(names, evaluation.stats, strict=True)}
