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
    overlap = _overlaps(found.bboxes, truth)
    for likeness, least in ((oks, FOUND_OKS), (oks, SAME_OKS), (overlap, SAME_IOU)):
        for person in order:
            if truth_of[person] < 0:
                free = np.flatnonzero(truth.counted & (found_of < 0) & (likeness[person] >= least))
                if len(free):
                    best = free[np.argmax(likeness[person, free])]
                    truth_of[person], found_of[best] = best, person
    judged &= (truth_of >= 0) | ~around_ignored(found.bboxes, truth)
    paired = np.where(truth_of >= 0, oks[np.arange(n), truth_of], 0.0) if m else np.zeros(n)
    return Pairs(truth_of, paired, judged, found_of)


def around_ignored(bboxes: np.ndarray, truth: TruePeople) -> np.ndarray:
    """(N,) bool: boxes around somebody whom COCO ignores, which can be neither right nor wrong.

    Args:
        bboxes: (N, 4) xywh, pixels of the image.
    """
    return _overlaps(bboxes, truth)[:, ~truth.counted].max(axis=1, initial=0) >= SAME_IOU


def _overlaps(bboxes: np.ndarray, truth: TruePeople) -> np.ndarray:
    """(N, M) float64, IoU; with a crowd, as COCO has it, the share of the box (N, 4) xywh inside it."""
    a, b = bboxes[:, None], truth.bboxes[None]
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(*(c[..., :2] + c[..., 2:] for c in (a, b)))
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    own, theirs = a[..., 2:].prod(axis=-1), b[..., 2:].prod(axis=-1)
    return shared / np.maximum(own + np.where(truth.crowd, 0, theirs - shared), 1e-9)
