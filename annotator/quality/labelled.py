"""The people of a run beside what was labelled: who matches whom, and which joints are right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from annotator.evaluate.pairs import pair_people
from annotator.evaluate.predictions import found_people
from annotator.evaluate.truth import TruePeople, read_truth
from annotator.pose.oks import joint_similarity
from annotator.store.reader import Run

# A joint is right when its term of OKS is at least this: between "jitter" and "miss" of Ronchi and Perona
# (2017), 1.18 of COCO's standard deviations for that joint and size.
RIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Labelled:
    """N people of a run in the order of its rows, K joints.

    Attributes:
        images: (N,) int64, their image_id.
        matched: (N,) bool, those who are somebody in the ground truth.
        judged: (N,) bool, those who count: matched, or nobody although they would have to be somebody.
        oks: (N,) float64 with whom they match; 0 without.
        visibility: (N, K) int8, v of the ground truth; 0 without.
        right: (N, K) bool, labelled joints that are right (`RIGHT`).
        missed: labelled people whom nobody matches.
    """

    images: np.ndarray
    matched: np.ndarray
    judged: np.ndarray
    oks: np.ndarray
    visibility: np.ndarray
    right: np.ndarray
    missed: int

    def __len__(self) -> int:
        return len(self.images)

    def only(self, people: np.ndarray) -> Labelled:
        """The same with nothing known of all but some people, (N,) bool."""
        return replace(
            self,
            matched=self.matched & people,
            judged=self.judged & people,
            oks=np.where(people, self.oks, 0.0),
            visibility=np.where(people[:, None], self.visibility, 0).astype(np.int8),
            right=self.right & people[:, None],
        )

    @property
    def known(self) -> np.ndarray:
        """(N, K) bool: joints of matched people that were labelled, so that right and wrong are known."""
        return self.visibility > 0


def label(run: Run, gt_path: str | Path) -> Labelled:
    """Match all people of a run with a COCO file, as the evaluation does (`evaluate.pairs`).

    Raises:
        UserError: the file is no COCO keypoint ground truth, has other joints, or no image matches.
    """
    sigmas, joints = np.array(run.skeleton.sigmas), len(run.skeleton)
    names = (
        pair
        for batch in run.images(["image_id", "file_name"])
        for pair in zip(batch["image_id"].to_pylist(), batch["file_name"].to_pylist(), strict=True)
    )
    truth = read_truth(gt_path, names, joints)
    parts: list[tuple[np.ndarray, ...]] = [_nobody(joints)]
    seen, found = set(), 0
    for image, people in found_people(run, "oks", 0.9):
        gt_image = truth.matching.gt_of.get(image)
        seen.add(gt_image)
        there = TruePeople.none(joints) if gt_image is None else truth.of(gt_image)
        pairs = pair_people(there, people, sigmas)
        matched = pairs.truth_of >= 0
        who = pairs.truth_of[matched]
        visibility = np.zeros((len(people), joints), np.int8)
        right = np.zeros((len(people), joints), bool)
        visibility[matched] = there.keypoints[who, :, 2]
        similarity = joint_similarity(
            people.keypoints[matched, :, :2], there.keypoints[who, :, :2], there.areas[who], sigmas
        )
        right[matched] = (similarity >= RIGHT) & (visibility[matched] > 0)
        found += int(matched.sum())
        judged = pairs.judged & (gt_image is not None)
        images = np.full(len(people), image, np.int64)
        parts.append((images, matched, judged, np.where(matched, pairs.oks, 0.0), visibility, right))
    counted = sum(int(truth.of(image).counted.sum()) for image in truth.matching.gt_of.values())
    images, matched, judged, oks, visibility, right = (
        np.concatenate(arrays) for arrays in zip(*parts, strict=True)
    )
    return Labelled(images, matched, judged, oks, visibility, right, counted - found)


def _nobody(joints: int) -> tuple[np.ndarray, ...]:
    return (
        np.zeros(0, np.int64),
        np.zeros(0, bool),
        np.zeros(0, bool),
        np.zeros(0),
        np.zeros((0, joints), np.int8),
        np.zeros((0, joints), bool),
    )


def posed_by_its_model(run: Run) -> np.ndarray:
    """Whom the run's pose model posed, (N,) bool: everybody, but for those of a cascade's second model."""
    parts, names = [np.zeros(0, bool)], (None, run.metadata["pose_model"]["name"])
    for batch in run.instances(["posed_by"]):
        parts.append(np.array([name in names for name in batch["posed_by"].to_pylist()], bool))
    return np.concatenate(parts)


def list_column(run: Run, column: str, joints: int) -> np.ndarray:
    """A list column of all people of a run: (N, joints) float32; NaN rows where it is null."""
    parts = [np.zeros((0, joints), np.float32)]
    for batch in run.instances([column]):
        rows = np.full((batch.num_rows, joints), np.nan, np.float32)
        there = batch[column].is_valid().to_numpy(zero_copy_only=False)
        rows[there] = batch[column].drop_null().flatten().to_numpy().reshape(-1, joints)
        parts.append(rows)
    return np.concatenate(parts)


def scalar_column(run: Run, column: str) -> np.ndarray:
    """A column of all people of a run: (N,) float64; NaN where it is null."""
    parts = [np.zeros(0)]
    for batch in run.instances([column]):
        parts.append(np.asarray(batch[column].cast("double").to_numpy(zero_copy_only=False), np.float64))
    return np.concatenate(parts)
