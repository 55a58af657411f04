"""Exchanged sides and broken limbs, planted into labelled poses: what `likely_swap`, `bone_outliers` find.

    python jobs/planted_errors.py COCO.json [--run RUN] [--json]

Unlabelled joints are unknown. With --run, the flags of its people are compared with their own errors too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from annotator.evaluate.joint_errors import JointError, judge_joints
from annotator.evaluate.pairs import pair_people
from annotator.evaluate.predictions import found_people
from annotator.evaluate.truth import TruePeople, read_truth
from annotator.quality.anatomy import bone_outliers, likely_swap
from annotator.quality.labelled import label, scalar_column
from annotator.skeletons import COCO_17
from annotator.store.reader import Run

EXCHANGED = {
    "wrists": ("wrist",),
    "elbows and wrists": ("elbow", "wrist"),
    "arms with shoulders": ("shoulder", "elbow", "wrist"),
    "ankles": ("ankle",),
    "knees and ankles": ("knee", "ankle"),
    "legs with hips": ("hip", "knee", "ankle"),
    "body without face": ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"),
    "body and face": ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"),
}
# Joints that are put elsewhere, those they are tied to, and how far: shares of the box's longer side.
MOVED = {"wrist": ("elbow",), "elbow": ("shoulder", "wrist"), "ankle": ("knee",), "knee": ("hip", "ankle")}
MOVED_BY = (0.2, 0.3, 0.5)
# Both sides of a joint at the same place cannot be exchanged: least distance, as a share of that side.
APART = 0.1


def labelled_poses(annotations: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """COCO's people as (N, 17, 2) pixels, NaN where not labelled, and (N,) the boxes' longer sides."""
    people = [one for one in annotations if one.get("num_keypoints") and not one["iscrowd"]]
    xyv = np.array([one["keypoints"] for one in people], float).reshape(-1, 17, 3)
    keypoints = np.where(xyv[..., 2:] > 0, xyv[..., :2], np.nan)
    return keypoints, np.array([max(one["bbox"][2:]) for one in people])


def of(*names: str) -> list[int]:
    """Places of joints of both sides, left ones first."""
    return [COCO_17.keypoints.index(f"{side}_{name}") for side in ("left", "right") for name in names]


def planted_swaps(keypoints: np.ndarray, sizes: np.ndarray) -> dict[str, tuple[int, int]]:
    """(found, planted) of each kind of exchange; "none" are the poses as they are."""
    asked = {"none": _swapped(keypoints)}
    for name, joints in EXCHANGED.items():
        left, right = np.split(np.array(of(*joints)), 2)
        apart = np.linalg.norm(keypoints[:, left] - keypoints[:, right], axis=-1).max(axis=1) > APART * sizes
        exchanged = keypoints[apart].copy()
        exchanged[:, [*left, *right]] = exchanged[:, [*right, *left]]
        asked[name] = _swapped(exchanged)
    return {name: (int(found.sum()), len(found)) for name, found in asked.items()}


def _swapped(keypoints: np.ndarray) -> np.ndarray:
    found = likely_swap(keypoints, None, COCO_17)
    assert found is not None
    return found


def planted_breaks(keypoints: np.ndarray, sizes: np.ndarray) -> dict[str, tuple[int, int]]:
    """(found, planted) of joints put elsewhere, in directions by chance; "none" are the poses as they are."""
    rng = np.random.default_rng(0)
    asked = {"none": _broken(keypoints)}
    for name, tied in MOVED.items():
        for share in MOVED_BY:
            found = [np.zeros(0, bool)]
            for joint, *others in np.array(of(name, *tied)).reshape(2, -1):
                known = np.isfinite(keypoints[:, [joint, *others]]).all(axis=(1, 2))
                moved, angles = keypoints[known].copy(), rng.uniform(0, 2 * np.pi, known.sum())
                moved[:, joint] += np.stack([np.cos(angles), np.sin(angles)], 1) * share * sizes[known, None]
                found.append(_broken(moved))
            asked[f"{name} by {share:.0%}"] = np.concatenate(found)
    return {name: (int(found.sum()), len(found)) for name, found in asked.items()}


def _broken(keypoints: np.ndarray) -> np.ndarray:
    outliers = bone_outliers(keypoints, COCO_17)
    assert outliers is not None
    return outliers > 0


def own_errors(run: Run, gt: str) -> dict[str, Any]:
    """How the flags of a run's matched people go with inverted joints and bad labels of their own."""
    labelled, inverted = label(run, gt), _inverted(run, gt)
    known = labelled.matched & labelled.judged
    bad = (labelled.oks < 0.75)[known]
    signs = {"inverted joints": inverted[known] > 0, "OKS below 0.75": bad}
    flags = {
        "likely_swap": scalar_column(run, "likely_swap") > 0,
        "bone_outliers": scalar_column(run, "bone_outliers") > 0,
    }
    return {
        "people": int(known.sum()),
        **{name: int(sign.sum()) for name, sign in signs.items()},
        "flags": {
            name: {"flagged": int(flag[known].sum())}
            | {f"with {kind}": int((flag[known] & sign).sum()) for kind, sign in signs.items()}
            for name, flag in flags.items()
        },
    }


def _inverted(run: Run, gt: str) -> np.ndarray:
    """(N,) joints of each person that lie at the other side's place, after Ronchi and Perona."""
    sigmas, joints = np.array(run.skeleton.sigmas), len(run.skeleton)
    names = (
        pair
        for batch in run.images(["image_id", "file_name"])
        for pair in zip(batch["image_id"].to_pylist(), batch["file_name"].to_pylist(), strict=True)
    )
    truth, counts = read_truth(gt, names, joints), [np.zeros(0, int)]
    for image, people in found_people(run, "oks", 0.9):
        gt_image = truth.matching.gt_of.get(image)
        there = TruePeople.none(joints) if gt_image is None else truth.of(gt_image)
        judged = judge_joints(there, people, pair_people(there, people, sigmas), run.skeleton)
        counts.append((judged.errors == JointError.INVERSION).sum(axis=1))
    return np.concatenate(counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("gt")
    parser.add_argument("--run")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    keypoints, sizes = labelled_poses(json.loads(Path(options.gt).read_text())["annotations"])
    figures: dict[str, Any] = {
        "likely_swap": planted_swaps(keypoints, sizes),
        "bone_outliers": planted_breaks(keypoints, sizes),
    }
    if options.run:
        figures["own errors"] = own_errors(Run(options.run), options.gt)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for flag in ("likely_swap", "bone_outliers"):
        print(flag)
        for name, (found, planted) in figures[flag].items():
            print(f"  {name:<22} {found:>4} of {planted:>4}  {found / max(planted, 1):.0%}")
    if options.run:
        print(json.dumps(figures["own errors"], indent=2))


if __name__ == "__main__":
    main()
