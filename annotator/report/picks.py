"""Which people and pictures are shown: a handful of each kind, the same ones at every reading."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

SAME_VIDEO = 3


@dataclass(frozen=True, slots=True)
class People:
    """The people of one batch of rows, N of them, K joints.

    Attributes:
        ids: (N,) int64. images: (N,) int64, place of the picture in the plan.
        sources: (N,) int64, equal for the frames of one video, one of its own for every picture.
        bboxes: (N, 4) float64 xywh. keypoints: (N, K, 3) float32, v in {0, 1, 2}; upright pixels.
        scores, bbox_scores: (N,) float32. joint_scores: (N, K) float32, raw.
        undoubted: (N,) bool, who is probably somebody and not a better person again.
    """

    ids: np.ndarray
    images: np.ndarray
    sources: np.ndarray
    bboxes: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    bbox_scores: np.ndarray
    joint_scores: np.ndarray
    undoubted: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def person(self, n: int) -> Person:
        """The n-th of them, detached from the batch."""
        return Person(
            id=int(self.ids[n]),
            image=int(self.images[n]),
            source=int(self.sources[n]),
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
        id: of the row. image: place of the picture in the plan. source: as in `People`.
        bbox: (4,) xywh. keypoints: (K, 3). Pixels of the upright image.
        score, bbox_score: as in the row. joint_score: mean raw score of the joints.
    """

    id: int
    image: int
    source: int
    bbox: np.ndarray
    keypoints: np.ndarray
    score: float
    bbox_score: float
    joint_score: float


class Ranking:
    """Keeps the `size` people of the lowest keys seen so far; equal keys go by id.

    One a picture; `SAME_VIDEO` of a video at most unless there is nothing else, since frames are alike.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._varied: list[tuple[float, Person]] = []
        self._any: list[tuple[float, Person]] = []

    def add(self, people: People, keys: np.ndarray) -> None:
        """Take in a batch that holds all people of its pictures. Keys (N,); infinity leaves a person out."""
        order = np.lexsort((people.ids, keys))
        order = order[np.isfinite(keys[order])]
        _, first = np.unique(people.images[order], return_index=True)
        order = order[np.sort(first)]
        few = order[_seen_before(people.sources[order]) < SAME_VIDEO]
        self._varied = self._merge(self._varied, people, keys, few, SAME_VIDEO)
        self._any = self._merge(self._any, people, keys, order, self._size)

    def people(self) -> list[Person]:
        """Those kept, lowest key first."""
        ids = {person.id for _, person in self._varied}
        rest = [kept for kept in self._any if kept[1].id not in ids]
        kept = [*self._varied, *rest[: self._size - len(self._varied)]]
        return [person for _, person in sorted(kept, key=_by_key)]

    def _merge(
        self, kept: list[tuple[float, Person]], people: People, keys: np.ndarray, more: np.ndarray, same: int
    ) -> list[tuple[float, Person]]:
        """The best of `kept` and of those at `more`, at most `same` of a source."""
        new = [(float(keys[n]), people.person(int(n))) for n in more[: self._size]]
        chosen: list[tuple[float, Person]] = []
        of_source: Counter[int] = Counter()
        for key, person in sorted([*kept, *new], key=_by_key):
            of_source[person.source] += 1
            if of_source[person.source] <= same and len(chosen) < self._size:
                chosen.append((key, person))
        return chosen


def _by_key(kept: tuple[float, Person]) -> tuple[float, int]:
    return kept[0], kept[1].id


def _seen_before(values: np.ndarray) -> np.ndarray:
    """(N,) int64: how many equal values stand before each."""
    order = np.argsort(values, kind="stable")
    grouped = values[order]
    begins = np.flatnonzero(np.concatenate([[True], grouped[1:] != grouped[:-1]])) if len(values) else []
    sizes = np.diff(np.append(begins, len(values)))
    seen = np.empty(len(values), np.int64)
    seen[order] = np.arange(len(values)) - np.repeat(np.asarray(begins, np.int64), sizes.astype(np.int64))
    return seen


def scatter(numbers: np.ndarray) -> np.ndarray:
    """(N,) float64 in [0, 1), random to look at, that depend on the numbers alone (as in SplitMix64)."""
    x = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) / float(1 << 53)
