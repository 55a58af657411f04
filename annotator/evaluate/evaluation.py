"""A run against ground truth, in one pass over its images: what it scores, and where the points were lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from annotator.evaluate.coco import CocoEvaluator, Engine
from annotator.evaluate.crowding import LEVELS, crowd_index, crowd_level
from annotator.evaluate.joint_errors import ERRORS, JudgedJoints, judge_joints
from annotator.evaluate.pairs import Pairs, pair_people
from annotator.evaluate.predictions import FoundPeople, found_people
from annotator.evaluate.tally import Tally
from annotator.evaluate.truth import TruePeople, Truth, read_truth
from annotator.store.reader import Run


def evaluate(
    run: Run,
    gt_path: str | Path,
    *,
    nms: Literal["oks", "none"] = "oks",
    nms_threshold: float = 0.9,
    engine: Engine = "hotcoco",
) -> dict[str, Any]:
    """Evaluate a run's committed rows against a COCO keypoint file, as MMPose's `CocoMetric` does.

    Only images that the run has count (an error row counts as an image in which nobody was found). The rows
    themselves are not touched: NMS only chooses what is evaluated. Memory grows with the images that both
    have, not with the file.

    Args:
        nms: "oks" leaves out people whose OKS with a better one exceeds `nms_threshold`, for keypoints only.
        engine: who computes COCO's figures. Both give the same numbers; pycocotools is slower, keeps all in
            memory and gives no figures by crowding.

    Returns:
        {"keypoints": {"AP": ..., "AP50": ...}, "bbox": {...}, "sizes": [...], "crowding": {...},
        "labelled_people": who was found, "joints": by name, "joint_errors": counts by kind,
        "ap_if_corrected": keypoint AP with one kind of error put right, "matching": {...}, "images": images
        evaluated, "people": people found in them, "gt_people": people in their ground truth, "nms": {...}}.
        A figure is None where there is nobody to count. `docs/evaluation.md` explains each.

    Raises:
        UserError: the file is no COCO keypoint ground truth, has other joints, or no image matches.
    """
    skeleton = run.skeleton
    sigmas = np.array(skeleton.sigmas)
    truth = read_truth(gt_path, _names(run), len(skeleton))
    bbox, costs = CocoEvaluator("bbox", sigmas, engine), _Costs(sigmas, engine)
    tally = Tally(skeleton.keypoints)
    levels: defaultdict[str, list[int]] = defaultdict(list)
    people = suppressed = 0
    for image, labelled, found in _images(run, truth, nms, nms_threshold):
        pairs = pair_people(labelled, found, sigmas)
        joints = judge_joints(labelled, found, pairs, skeleton)
        bbox.add(image, labelled, found)
        costs.add(image, labelled, found, pairs, joints)
        tally.add(labelled, found, pairs, joints)
        people += len(found)
        suppressed += len(found) - len(found.kept)
        if labelled.counted.any():
            levels[crowd_level(crowd_index(labelled))].append(image)
    return {
        "keypoints": costs.now.figures(),
        "bbox": bbox.figures(),
        "sizes": costs.now.by_size(),
        "crowding": _crowding(costs.now, levels, engine),
        "labelled_people": tally.people(),
        "joints": tally.joints(),
        "joint_errors": tally.joint_errors(),
        "ap_if_corrected": costs.figures(),
        "matching": {**truth.matching.to_dict(), "joint_names_differ": _other_joints(truth, run)},
        "images": len(truth.matching.gt_of),
        "people": people,
        "gt_people": sum(len(people) for people in truth.people.values()),
        "nms": {"mode": nms, "threshold": nms_threshold, "left_out": suppressed},
    }


class _Costs:
    """Keypoint AP as it is, and as it would be with one kind of error put right at a time."""

    def __init__(self, sigmas: np.ndarray, engine: Engine) -> None:
        self.now = CocoEvaluator("keypoints", sigmas, engine)
        self._joints = {kind: CocoEvaluator("keypoints", sigmas, engine) for kind in ERRORS}
        names = ("all_joints", "missed_people", "extra_people", "ranking")
        self._others = {name: CocoEvaluator("keypoints", sigmas, engine) for name in names}

    def add(
        self, image: int, truth: TruePeople, found: FoundPeople, pairs: Pairs, joints: JudgedJoints
    ) -> None:
        self.now.add(image, truth, found)
        for kind, evaluator in self._joints.items():
            evaluator.add(image, truth, found, joints.without(kind, found.keypoints))
        self._others["all_joints"].add(image, truth, found, joints.corrected)
        # Nobody asks for those whom no box found: COCO ignores people without joints.
        missed = truth.counted & (pairs.found_of < 0)
        asked = replace(truth, num_keypoints=np.where(missed, 0, truth.num_keypoints))
        self._others["missed_people"].add(image, asked, found)
        extra = pairs.judged & (pairs.truth_of < 0)
        kept = found.kept[~extra[found.kept]]
        self._others["extra_people"].add(image, truth, replace(found, kept=kept))
        self._others["ranking"].add(image, truth, replace(found, scores=pairs.oks))

    def figures(self) -> dict[str, float | None]:
        """Keypoint AP by what is corrected; "nothing" is the AP of the run."""
        return {
            "nothing": self.now.figures()["AP"],
            **{kind.name.lower(): e.figures()["AP"] for kind, e in self._joints.items()},
            **{name: e.figures()["AP"] for name, e in self._others.items()},
        }


def _images(
    run: Run, truth: Truth, nms: Literal["oks", "none"], threshold: float
) -> Iterator[tuple[int, TruePeople, FoundPeople]]:
    """Every image of both, once: its id in the truth, who is labelled, who was found."""
    left = dict(truth.matching.gt_of)
    for image_id, found in found_people(run, nms, threshold):
        image = left.pop(image_id, None)
        if image is not None:
            yield image, truth.of(image), found
    for image in left.values():
        yield image, truth.of(image), FoundPeople.none(truth.joints)


def _names(run: Run) -> Iterator[tuple[int, str]]:
    for batch in run.images(["image_id", "file_name"]):
        yield from zip(batch["image_id"].to_pylist(), batch["file_name"].to_pylist(), strict=True)


def _crowding(evaluator: CocoEvaluator, levels: dict[str, list[int]], engine: Engine) -> dict[str, Any]:
    figures = evaluator.by_group(levels) if engine == "hotcoco" else {}
    return {
        name: {"images": len(levels.get(name, ())), **figures.get(name, {"AP": None, "AR": None})}
        for name in LEVELS
    }


def _other_joints(truth: Truth, run: Run) -> list[str]:
    """Joints that the file calls otherwise than the run, as "ours / theirs"; empty where it does not say."""
    pairs = zip(run.skeleton.keypoints, truth.joint_names, strict=False)
    return [f"{ours} / {theirs}" for ours, theirs in pairs if _plain(ours) != _plain(theirs)]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
