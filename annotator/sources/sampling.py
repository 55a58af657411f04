"""Which frames of a video are items of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from annotator.media.scan import VideoIndex


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which frames of a video become items; all of them unless something is said.

    Attributes:
        start, end: seconds from the first frame; start is in, end is out.
        keyframes_only: only frames that are keyframes.
        fps: at most so many frames a second, evenly spaced in time; a slower video keeps all it has, but for
            one frame at the most where its frames come unevenly.
        every: of what the others leave, the first and every N-th after it.
    """

    start: float | None = None
    end: float | None = None
    keyframes_only: bool = False
    fps: float | None = None
    every: int | None = None

    def choose(self, index: VideoIndex) -> np.ndarray:
        """Numbers of the chosen frames: (M,) int64, ascending."""
        times = index.times
        keep = np.ones(len(index), bool)
        # Time stamps are rounded to the stream's clock: a frame at 11.9999 s is the one at 12 s.
        unit = float(index.time_base)
        slack = unit / 2
        if self.start is not None:
            keep &= times >= self.start - slack
        if self.end is not None:
            keep &= times < self.end - slack
        if self.keyframes_only:
            keep &= index.keys
        chosen = np.flatnonzero(keep)
        if self.fps is not None and len(chosen):
            # Between two of them it is nearly a unit; a whole one is a frame where the clock counts frames.
            slots = (times[chosen] - times[chosen[0]] + 0.999 * unit) * self.fps
            chosen = chosen[_one_a_slot(slots.tolist())]
        return chosen[:: self.every or 1].astype(np.int64)


def _one_a_slot(slots: list[float]) -> list[int]:
    """Places of at most one frame a slot, given when each frame comes, in slots.

    A slot that was empty is made up for by a later frame, half a slot behind the one before at least: of the
    frames after a pause no two neighbours are kept.
    """
    kept, due, last = [], 0, -math.inf
    for place, slot in enumerate(slots):
        if slot >= due and slot - last >= 0.5:
            kept.append(place)
            due, last = max(due + 1, math.floor(slot)), slot
    return kept
