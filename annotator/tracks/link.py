"""Tracklets of a whole film joined into tracks, with both sides of every gap known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annotator.tracks.follow import Tracklet

# All distances are in heights of the person.
_NEAR = 0.35  # off the extrapolated place, at once
_FARTHER = 0.25  # and a second later
_RESIZED = 0.35  # natural logarithm of the ratio of heights
# A gap costs something by itself: of two that fit alike, the earlier is likelier.
_A_SECOND = 0.15
# People stop and turn: an extrapolation says less the longer it reaches.
_SPEED_HALVES = 1.0


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Which gaps are bridged.

    Attributes:
        most_frames, most_seconds: longest gap, in frames that were followed (not those of the film between
            them) and in time.
        most_cost: of a link; 1 is one tolerance off in place or size.
        long_seconds, margin: over gaps longer than that a link must be so much cheaper than every other one
            of both its ends: a track is split rather than guessed.
    """

    most_frames: int = 60
    most_seconds: float = 4.0
    most_cost: float = 1.0
    long_seconds: float = 1.0
    margin: float = 0.5


@dataclass(frozen=True, slots=True)
class _Ends:
    """Fitted ends of tracklets: times (T,), boxes (T, 4), velocities (T, 2) pixels a second."""

    times: np.ndarray
    boxes: np.ndarray
    velocities: np.ndarray


def link(tracklets: Sequence[Tracklet], settings: LinkSettings | None = None) -> np.ndarray:
    """The track of each tracklet: (T,) int64, the number of the first tracklet in it.

    Links are those of the lowest total cost over the whole film, one to one, each within the limits.
    """
    settings = settings or LinkSettings()
    track = np.arange(len(tracklets), dtype=np.int64)
    befores, afters, costs = _candidates(tracklets, settings)
    if not len(costs):
        return track
    starts = np.array([tracklet.begin[0][0] for tracklet in tracklets])
    stops = np.array([tracklet.end[-1][0] for tracklet in tracklets])
    gaps = starts[afters] - stops[befores]
    doubtful = (gaps > settings.long_seconds) & (_lead(befores, afters, costs) < settings.margin)
    keep = ~doubtful
    before_of = np.full(len(tracklets), -1)
    for a, b in _assign(befores[keep], afters[keep], costs[keep], settings.most_cost):
        before_of[b] = a
    # A tracklet begins after the one before it, so in the order of beginnings every chain is known so far.
    for number in sorted(range(len(tracklets)), key=lambda n: (tracklets[n].first, n)):
        if before_of[number] >= 0:
            track[number] = track[before_of[number]]
    return track


def _candidates(
    tracklets: Sequence[Tracklet], settings: LinkSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs that may be linked: tracklets before, tracklets after (P,) int64, costs (P,) float64."""
    lasts = np.array([t.last for t in tracklets], np.int64)
    firsts = np.array([t.first for t in tracklets], np.int64)
    ends = _fit([list(t.end) for t in tracklets], -1)
    begins = _fit([t.begin for t in tracklets], 0)
    order = np.argsort(firsts, kind="stable")
    low = np.searchsorted(firsts[order], lasts, "right")
    high = np.searchsorted(firsts[order], lasts + settings.most_frames + 1, "right")
    befores = np.repeat(np.arange(len(tracklets)), np.maximum(high - low, 0))
    afters = [order[a:b] for a, b in zip(low, high, strict=True)]
    after = np.concatenate(afters) if afters else np.zeros(0, np.int64)
    cost = _cost(ends, begins, befores, after) if len(after) else np.zeros(0)
    good = cost <= settings.most_cost
    if len(after):
        good &= begins.times[after] - ends.times[befores] <= settings.most_seconds
    return befores[good], after[good], cost[good]


def _cost(ends: _Ends, begins: _Ends, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cost of linking the end of `a` to the beginning of `b`, (P,)."""
    seconds = begins.times[b] - ends.times[a]
    heights = (ends.boxes[a, 3] + begins.boxes[b, 3]) / 2
    # Distance gone at a speed that halves in `_SPEED_HALVES`.
    reach = (_SPEED_HALVES / np.log(2) * (1 - 0.5 ** (seconds / _SPEED_HALVES)))[:, None]
    step = begins.boxes[b, :2] - ends.boxes[a, :2]
    forward = np.hypot(*(step - ends.velocities[a] * reach).T)
    backward = np.hypot(*(step - begins.velocities[b] * reach).T)
    off = (forward + backward) / 2 / heights / (_NEAR + _FARTHER * seconds)
    resized = np.abs(np.log(ends.boxes[a, 3] / begins.boxes[b, 3])) / _RESIZED
    return np.hypot(off, resized) + _A_SECOND * seconds


def _fit(observations: Sequence[list[np.ndarray]], place: int) -> _Ends:
    """Straight lines through the observations of each end, at its outermost one (`place` 0 or -1)."""
    times, boxes, velocities = np.zeros(len(observations)), [], []
    for number, entries in enumerate(observations):
        table = np.array(entries)
        times[number] = table[place, 0]
        seconds = table[:, 0] - times[number]
        spread = seconds - seconds.mean()
        weight = (spread**2).sum()
        slope = spread @ table[:, 1:3] / weight if weight > 0 else np.zeros(2)
        box = np.median(table[:, 1:], axis=0)
        box[:2] = table[:, 1:3].mean(axis=0) - slope * seconds.mean()
        boxes.append(box)
        velocities.append(slope)
    return _Ends(times, np.array(boxes).reshape(-1, 4), np.array(velocities).reshape(-1, 2))


def _lead(befores: np.ndarray, afters: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """How much cheaper each pair is than the best other pair of either of its ends; (P,), may be negative."""
    lead = np.full(len(costs), np.inf)
    for ends in (befores, afters):
        order = np.lexsort((costs, ends))
        begins = np.flatnonzero(np.append(True, np.diff(ends[order]) != 0))
        for group in np.split(order, begins[1:]):
            if len(group) > 1:
                best, second = costs[group[0]], costs[group[1]]
                rival = np.where(np.arange(len(group)) == 0, second, best)
                lead[group] = np.minimum(lead[group], rival - costs[group])
    return lead


def _assign(
    befores: np.ndarray, afters: np.ndarray, costs: np.ndarray, most_cost: float
) -> list[tuple[int, int]]:
    """The one-to-one links of the lowest total cost, where leaving one out costs `most_cost`."""
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(costs):
        return []
    size = int(max(befores.max(), afters.max())) + 1
    graph = coo_array((np.ones(len(costs)), (befores, afters + size)), (2 * size, 2 * size))
    _, component = connected_components(graph, directed=False)
    of_pair = component[befores]
    links = []
    for group in np.split(np.argsort(of_pair, kind="stable"), np.flatnonzero(np.diff(np.sort(of_pair))) + 1):
        rows, row = np.unique(befores[group], return_inverse=True)
        columns, column = np.unique(afters[group], return_inverse=True)
        gain = np.zeros((len(rows), len(columns)))
        gain[row, column] = most_cost - costs[group]
        for a, b in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
            if gain[a, b] > 0:
                links.append((int(rows[a]), int(columns[b])))
    return links
