"""Which people and pictures are shown: a handful of each kind, the same ones at every reading."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class People:
    """The people of one batch of rows, N of them, K joints.

    Attributes:
        ids: (N,) int64. images: (N,) int64, place of the picture in the plan.
        bboxes: (N, 4) float64 xywh. keypoints: (N, K, 3) float32, v in {0, 1, 2}; upright pixels.
        scores, bbox_scores: (N,) float32. joint_scores: (N, K) float32, raw.
    """

    ids: np.ndarray
    images: np.ndarray
    bboxes: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    bbox_scores: np.ndarray
    joint_scores: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def person(self, n: int) -> Person:
        """The n-th of them, detached from the batch."""
        return Person(
            id=int(self.ids[n]),
            image=int(self.images[n]),
            bbox=self.bboxes[n].copy(),
            keypoints=self.keypoints[n].copy(),
            score=float(self.scores[n]),
            bbox_score=float(self.bbox_scores[n]),
            joint_score=float(self.joint_scores[n].mean()),
        )


@dataclass(frozen=True, slots=True)
class Person:
    """One person to be shown.

    Attributes:
        id: of the row. image: place of the picture in the plan.
        bbox: (4,) xywh. keypoints: (K, 3). Pixels of the upright image.
        score, bbox_score: as in the row. joint_score: mean raw score of the joints.
    """

    id: int
    image: int
    bbox: np.ndarray
    keypoints: np.ndarray
    score: float
    bbox_score: float
    joint_score: float


class Ranking:
    """Keeps the `size` people of the lowest keys seen so far, one a picture; equal keys go by id."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[tuple[float, Person]] = []

    def add(self, people: People, keys: np.ndarray) -> None:
        """Take in a batch that holds all people of its pictures. Keys (N,); infinity leaves a person out."""
        order = np.lexsort((people.ids, keys))
        order = order[np.isfinite(keys[order])]
        _, first = np.unique(people.images[order], return_index=True)
        for n in order[np.sort(first)][: self._size]:
            self._kept.append((float(keys[n]), people.person(int(n))))
        self._kept.sort(key=lambda kept: (kept[0], kept[1].id))
        del self._kept[self._size :]

    def people(self) -> list[Person]:
        """Those kept, lowest key first."""
        return [person for _, person in self._kept]


class Sample:
    """Keeps the `size` numbers seen so far whose hash is lowest: an even sample that needs no second look."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept = np.empty(0, np.int64)

    def add(self, numbers: np.ndarray) -> None:
        """Take in numbers (N,) int64, each of them once in a lifetime."""
        both = np.concatenate([self._kept, numbers])
        self._kept = both[np.argsort(scatter(both), kind="stable")][: self._size]

    def numbers(self) -> list[int]:
        """Those kept, ascending."""
        return sorted(self._kept.tolist())


def scatter(numbers: np.ndarray) -> np.ndarray:
    """(N,) float64 in [0, 1), random to look at, that depend on the numbers alone (as in SplitMix64)."""
    x = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) / float(1 << 53)
