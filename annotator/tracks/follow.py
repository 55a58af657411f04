"""From frame to frame: people are matched to those seen before by boxes and joints together."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from annotator.pose.oks import oks_matrix
from annotator.tracks.kalman import BoxFilter
from annotator.tracks.people import FramePeople

# Weight of the joints in the similarity of two people; the rest is that of their boxes.
OKS_WEIGHT = 0.7
# People keep their height: what a difference takes off the similarity at most, and the natural logarithm of
# the ratio of heights from which on it does. Boxes that an obstacle cuts off must not cost more.
_RESIZED_COST, _RESIZED = 0.2, 0.12
# With fewer joints than this to compare, boxes alone decide.
_FEWEST_JOINTS = 3
# Observations at either end of a tracklet that say where and how fast it began and ended.
END_OBSERVATIONS = 8
_NOBODY = -1


@dataclass(frozen=True, slots=True)
class FollowSettings:
    """How people are followed from frame to frame.

    Attributes:
        similarities: least similarity of people who are sure, one matching after the other: pairs that are
            beyond doubt are made first, whatever that costs the others.
        unsure_similarity: of the others, with whom only tracks go on.
        lost_frames, lost_seconds: so long a person is looked for where the filter expects them; what is
            found later is linked afterwards (`tracks.link`), with both sides known. Frames are those that the
            follower is shown, however many of the film lie between them.
    """

    similarities: tuple[float, ...] = (0.6, 0.45, 0.3)
    unsure_similarity: float = 0.4
    lost_frames: int = 12
    lost_seconds: float = 1.0


@dataclass(slots=True)
class Tracklet:
    """A person followed without doubt for a while.

    Attributes:
        first, last: frames, as many as the follower was shown before. count: observations.
        begin, end: the first and last few observations, each [seconds, centre x, centre y, w, h].
    """

    first: int
    last: int
    count: int = 0
    begin: list[np.ndarray] = field(default_factory=list)
    end: deque[np.ndarray] = field(default_factory=lambda: deque(maxlen=END_OBSERVATIONS))

    def observe(self, frame: int, time: float, box: np.ndarray) -> None:
        """Take in an observation; box (4,) [centre x, centre y, w, h]."""
        entry = np.concatenate([[time], box])
        self.last, self.count = frame, self.count + 1
        if len(self.begin) < END_OBSERVATIONS:
            self.begin.append(entry)
        self.end.append(entry)


class Follower:
    """Follows the people of one film, frame by frame in the order of time.

    Args:
        sigmas: (K,) OKS constants of the skeleton.

    Attributes:
        tracklets: all so far, by number.
    """

    def __init__(self, sigmas: np.ndarray, settings: FollowSettings | None = None) -> None:
        self._sigmas = np.asarray(sigmas, np.float64)
        self._settings = settings or FollowSettings()
        self._filter = BoxFilter()
        self._numbers = np.zeros(0, np.int64)
        self._keypoints = np.zeros((0, len(self._sigmas), 2))
        self._located = np.zeros((0, len(self._sigmas)), bool)
        self._frame = -1
        self._frames = np.zeros(0, np.int64)  # that each person was last seen in, and when
        self._times = np.zeros(0)
        self._time: float | None = None
        self.tracklets: list[Tracklet] = []

    def step(self, people: FramePeople) -> np.ndarray:
        """The tracklet of each person of the next frame: (N,) int64, -1 for people whom none claims."""
        settings = self._settings
        self._frame += 1
        self._drop_lost(people.time)
        if self._time is not None:
            self._filter.predict(people.time - self._time)
        self._time = people.time
        found = np.full(len(people), _NOBODY, np.int64)
        if not len(people):
            return found
        similarity = self._similarity(people)
        sure = people.sure
        rows = np.full(len(people), _NOBODY, np.int64)
        free = np.ones(len(self._filter), bool)
        rounds = [(sure, least) for least in settings.similarities]
        for wanted, least in (*rounds, (~sure, settings.unsure_similarity)):
            those = wanted & (rows == _NOBODY)
            a, b = _match(similarity[np.ix_(free, those)], least)
            a, b = np.flatnonzero(free)[a], np.flatnonzero(those)[b]
            rows[b], free[a] = a, False
        matched = np.flatnonzero(rows != _NOBODY)
        self._see(rows[matched], matched, people)
        self._begin(np.flatnonzero(sure & (rows == _NOBODY)), people, rows)
        known = rows != _NOBODY
        found[known] = self._numbers[rows[known]]
        boxes = people.boxes
        for person in np.flatnonzero(known):
            self.tracklets[found[person]].observe(self._frame, people.time, boxes[person])
        return found

    def _drop_lost(self, time: float) -> None:
        missed = self._frame - self._frames - 1
        unseen = time - self._times
        keep = (missed <= self._settings.lost_frames) & (unseen <= self._settings.lost_seconds)
        if not keep.all():
            self._filter.keep(keep)
            self._numbers, self._frames, self._times = (
                self._numbers[keep], self._frames[keep], self._times[keep],
            )  # fmt: skip
            self._keypoints, self._located = self._keypoints[keep], self._located[keep]

    def _similarity(self, people: FramePeople) -> np.ndarray:
        """(T, N) float64, 1 at most, between those expected and those there."""
        expected, boxes = self._filter.boxes, people.boxes
        if not len(expected):
            return np.zeros((0, len(people)))
        # Joints move and grow with their box.
        seen = self._filter.seen
        growth = (expected[:, 2:] / seen[:, 2:])[:, None]
        moved = (self._keypoints - seen[:, None, :2]) * growth + expected[:, None, :2]
        counted = self._located[:, None] & people.located[None]
        areas, others = expected[:, 2:].prod(axis=1), boxes[:, 2:].prod(axis=1)
        oks = oks_matrix(moved, areas, people.keypoints, others, self._sigmas, counted)
        iou = iou_matrix(expected, boxes)
        few = counted.sum(axis=-1) < _FEWEST_JOINTS
        resized = np.log(boxes[None, :, 3] / expected[:, None, 3])
        alike = np.where(few, iou, OKS_WEIGHT * oks + (1 - OKS_WEIGHT) * iou)
        return alike - _RESIZED_COST * np.minimum(1, (resized / _RESIZED) ** 2)

    def _see(self, rows: np.ndarray, persons: np.ndarray, people: FramePeople) -> None:
        self._filter.update(rows, people.boxes[persons])
        self._keypoints[rows], self._located[rows] = people.keypoints[persons], people.located[persons]
        self._frames[rows], self._times[rows] = self._frame, people.time

    def _begin(self, persons: np.ndarray, people: FramePeople, rows: np.ndarray) -> None:
        """New tracklets for people whom nobody expected; writes their rows of the filter into `rows`."""
        count, first = len(persons), len(self._filter)
        rows[persons] = first + np.arange(count)
        self._filter.add(people.boxes[persons])
        numbers = len(self.tracklets) + np.arange(count)
        self._numbers = np.concatenate([self._numbers, numbers])
        self._keypoints = np.concatenate([self._keypoints, people.keypoints[persons]])
        self._located = np.concatenate([self._located, people.located[persons]])
        self._frames = np.concatenate([self._frames, np.full(count, self._frame)])
        self._times = np.concatenate([self._times, np.full(count, people.time)])
        self.tracklets += [Tracklet(self._frame, self._frame) for _ in range(count)]


def _match(similarity: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of row and column, one to one, of the largest sum of similarities, each at least `least`."""
    from scipy.optimize import linear_sum_assignment

    # Pairs that may not be are worth nothing, so that they never push out one that may.
    rows, columns = linear_sum_assignment(np.where(similarity >= least, similarity, 0.0), maximize=True)
    good = similarity[rows, columns] >= least
    return rows[good], columns[good]


def iou_matrix(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, M) float64 intersection over union of boxes (N, 4), (M, 4) [centre x, centre y, w, h]."""
    low = np.maximum((boxes[:, :2] - boxes[:, 2:] / 2)[:, None], (others[:, :2] - others[:, 2:] / 2)[None])
    high = np.minimum((boxes[:, :2] + boxes[:, 2:] / 2)[:, None], (others[:, :2] + others[:, 2:] / 2)[None])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    total = boxes[:, 2:].prod(axis=1)[:, None] + others[:, 2:].prod(axis=1)[None] - shared
    return shared / np.maximum(total, 1e-9)
