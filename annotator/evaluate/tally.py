"""Counts over the paired people of all images: who was found, how far off each joint is, and in which way."""

from __future__ import annotations

from typing import Any

import numpy as np

from annotator.evaluate.joint_errors import JointError, JudgedJoints
from annotator.evaluate.pairs import FOUND_OKS, Pairs
from annotator.evaluate.predictions import FoundPeople
from annotator.evaluate.truth import TruePeople

# A joint is correct within this share of the longer side of the labelled box (as in MMPose's PCKAccuracy).
PCK = (0.05, 0.1, 0.2)
OKS_BINS = 10
_KINDS = tuple(kind for kind in JointError if kind != JointError.UNJUDGED)


class Tally:
    """Adds up people and joints.

    Args:
        joints: names of the K joints.
    """

    def __init__(self, joints: tuple[str, ...]) -> None:
        k = len(joints)
        self._names = joints
        self._oks = np.zeros(OKS_BINS, np.int64)
        self._found = self._wrong = self._missed = self._extra = self._ignored = self._left_out = 0
        self._labelled = np.zeros(k, np.int64)
        self._judged = np.zeros(k, np.int64)
        self._pixels = np.zeros(k)
        self._relative = np.zeros(k)
        self._within = np.zeros((k, len(PCK)), np.int64)
        self._kinds = np.zeros((k, len(_KINDS)), np.int64)

    def add(self, truth: TruePeople, found: FoundPeople, pairs: Pairs, joints: JudgedJoints) -> None:
        """Add one image."""
        paired = np.flatnonzero(pairs.truth_of >= 0)
        oks = pairs.oks[paired]
        self._oks += np.bincount(
            np.minimum((oks * OKS_BINS).astype(np.int64), OKS_BINS - 1), minlength=OKS_BINS
        )
        self._found += int((oks >= FOUND_OKS).sum())
        self._wrong += int((oks < FOUND_OKS).sum())
        self._missed += int((truth.counted & (pairs.found_of < 0)).sum())
        self._extra += int((pairs.judged & (pairs.truth_of < 0)).sum())
        self._left_out += len(found) - len(found.kept)
        self._ignored += len(found.kept) - int(pairs.judged.sum())
        self._labelled += (truth.keypoints[truth.counted, :, 2] > 0).sum(axis=0)

        distance, errors = joints.distances[paired], joints.errors[paired]
        seen = errors != JointError.UNJUDGED
        sides = truth.bboxes[pairs.truth_of[paired], 2:].max(axis=1)
        relative = np.where(seen, distance / np.maximum(sides, 1e-9)[:, None], 0.0)
        self._judged += seen.sum(axis=0)
        self._pixels += np.where(seen, distance, 0.0).sum(axis=0)
        self._relative += relative.sum(axis=0)
        for n, share in enumerate(PCK):
            self._within[:, n] += (seen & (relative <= share)).sum(axis=0)
        for n, kind in enumerate(_KINDS):
            self._kinds[:, n] += (errors == kind).sum(axis=0)

    def people(self) -> dict[str, Any]:
        """Labelled people by what became of them, and people found that nobody labelled."""
        return {
            "labelled": self._found + self._wrong + self._missed,
            "found": self._found,
            "pose_wrong": self._wrong,
            "missed": self._missed,
            "extra": self._extra,
            "around_ignored_or_beyond_20": self._ignored,
            "oks_histogram": self._oks.tolist(),
        }

    def joint_errors(self) -> dict[str, int]:
        """Joints of paired people by `JointError`."""
        return {kind.name.lower(): int(n) for kind, n in zip(_KINDS, self._kinds.sum(axis=0), strict=True)}

    def joints(self) -> dict[str, dict[str, Any]]:
        """Figures of each joint by name, and of all together as "all".

        labelled; judged (those of people found); mean error in pixels and as a share of the box's longer
        side; PCK; shares by kind of error. Shares and means are of the judged, None without any.
        """
        rows = {name: self._row(np.array([n])) for n, name in enumerate(self._names)}
        return {**rows, "all": self._row(np.arange(len(self._names)))}

    def _row(self, which: np.ndarray) -> dict[str, Any]:
        judged = int(self._judged[which].sum())

        def mean(values: np.ndarray) -> float | None:
            return float(values[which].sum() / judged) if judged else None

        return {
            "labelled": int(self._labelled[which].sum()),
            "judged": judged,
            "mean_error_px": mean(self._pixels),
            "mean_error": mean(self._relative),
            **{f"pck_{share:g}": mean(self._within[:, n]) for n, share in enumerate(PCK)},
            **{kind.name.lower(): mean(self._kinds[:, n]) for n, kind in enumerate(_KINDS)},
        }
