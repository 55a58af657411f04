"""Who is who: people found in one image and labelled in it, paired as COCO does and a little further."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotator.evaluate.predictions import FoundPeople
from annotator.evaluate.truth import TruePeople
from annotator.pose.oks import oks_matrix

# COCO judges the best 20 people of an image.
MAX_PEOPLE = 20
# A pose of this OKS is found, as AP50 has it; down to the other it can be told whose it is (Ronchi & Perona).
FOUND_OKS = 0.5
SAME_OKS = 0.1
# A box that overlaps a person by this is that person's, however wrong the pose in it.
SAME_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs of one image.

    Attributes:
        truth_of: (N,) int64, the labelled person of each person found, or -1.
        oks: (N,) float64 of the pair, 0 without one.
        judged: (N,) bool, people that count: not left out by NMS, not beyond the best 20, not around somebody
            whom COCO ignores (a crowd, a person without labelled joints).
        found_of: (M,) int64, the person found for each labelled one, or -1.
    """

    truth_of: np.ndarray
    oks: np.ndarray
    judged: np.ndarray
    found_of: np.ndarray


def pair_people(truth: TruePeople, found: FoundPeople, sigmas: np.ndarray) -> Pairs:
    """Pair people, best score first, each with the best one left: by OKS 0.5, then OKS 0.1, then box IoU 0.5.

    Only labelled people that COCO counts (`TruePeople.counted`) are paired.

    Args:
        sigmas: (K,) of the skeleton.
    """
    n, m = len(found), len(truth)
    truth_of, found_of = np.full(n, -1), np.full(m, -1)
    order = found.kept[np.argsort(-found.scores[found.kept], kind="stable")][:MAX_PEOPLE]
    judged = np.zeros(n, bool)
    judged[order] = True
    labelled = truth.keypoints[..., 2] > 0
    oks = oks_matrix(
        found.keypoints[..., :2],
        None,
        truth.keypoints[..., :2],
        truth.areas,
        sigmas,
        np.broadcast_to(labelled, (n, *labelled.shape)),
    )
    overlap = _intersections(found.bboxes, truth.bboxes)
    areas = _areas(found.bboxes)[:, None]
    iou = overlap / np.maximum(areas + _areas(truth.bboxes)[None] - overlap, 1e-9)
    for likeness, least in ((oks, FOUND_OKS), (oks, SAME_OKS), (iou, SAME_IOU)):
        for person in order:
            if truth_of[person] < 0:
                free = np.flatnonzero(truth.counted & (found_of < 0) & (likeness[person] >= least))
                if len(free):
                    best = free[np.argmax(likeness[person, free])]
                    truth_of[person], found_of[best] = best, person
    if not truth.counted.all():
        # COCO measures a crowd by the share of the box inside it.
        alike = np.where(truth.crowd[None], overlap / np.maximum(areas, 1e-9), iou)[:, ~truth.counted]
        judged &= (truth_of >= 0) | (alike.max(axis=1, initial=0) < SAME_IOU)
    paired = np.where(truth_of >= 0, oks[np.arange(n), truth_of], 0.0) if m else np.zeros(n)
    return Pairs(truth_of, paired, judged, found_of)


def _areas(bboxes: np.ndarray) -> np.ndarray:
    return bboxes[:, 2] * bboxes[:, 3]


def _intersections(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M) square pixels shared by boxes (N, 4) and (M, 4), xywh."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    return np.clip(high - low, 0, None).prod(axis=-1)
