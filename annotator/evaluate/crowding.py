"""How crowded an image is, as CrowdPose measures it (Li et al. 2019, https://arxiv.org/abs/1812.00324)."""

from __future__ import annotations

import numpy as np

from annotator.evaluate.truth import TruePeople

# CrowdPose's own levels.
LEVELS = {"easy": 0.1, "medium": 0.8, "hard": np.inf}


def crowd_index(truth: TruePeople) -> float:
    """Mean over people of: joints of others in one's box / own joints in it. 0 with nobody labelled.

    Counted are people with labelled joints, crowds left out.
    """
    people = np.flatnonzero(truth.counted)
    ratios = []
    for person in people:
        x, y, w, h = truth.bboxes[person]
        xyv = truth.keypoints[people]
        inside = (
            (xyv[..., 2] > 0)
            & (xyv[..., 0] >= x) & (xyv[..., 0] <= x + w)
            & (xyv[..., 1] >= y) & (xyv[..., 1] <= y + h)
        )  # fmt: skip
        own = inside[people == person].sum()
        ratios.append((inside.sum() - own) / max(own, 1))
    return float(np.mean(ratios)) if ratios else 0.0


def crowd_level(index: float) -> str:
    """easy up to 0.1, medium up to 0.8, hard above."""
    return next(name for name, limit in LEVELS.items() if index <= limit)
