"""Stretches of a film of which nothing is left: frames that are missing without any error.

Demuxers of Matroska and transport streams look for the next thing that makes sense and say nothing. What
tells damage from a pause in the recording: bytes of the file belong to no packet there.
"""

from __future__ import annotations

import numpy as np

from annotator.errors import ItemError
from annotator.media.container import open_video, packets

# A gap in time that is looked into: seconds, and times the usual distance of frames.
_LONG_SECONDS, _LONG_TIMES = 0.5, 5.0
# Bytes without a packet that are no headers and padding: times the most that is usual, and beyond it.
_MANY_TIMES, _MANY_BYTES = 3.0, 512


def lost_stretches(uri: str, pts: np.ndarray, time_base: float) -> list[tuple[int, int]]:
    """Pairs of neighbouring frames, by place in `pts`, between which a stretch of the file cannot be read.

    Args:
        pts: (N,) int64, ascending, of all frames. time_base: seconds a unit of it.
    """
    seconds = np.diff(pts) * time_base
    if not len(seconds):
        return []
    long = np.flatnonzero(seconds > max(_LONG_SECONDS, _LONG_TIMES * float(np.median(seconds))))
    if not len(long):
        return []
    try:
        places = _places(uri)
    except ItemError:
        return []
    begins = np.array([place for _, place, _ in places], np.int64)
    ends = begins + np.array([size for _, _, size in places], np.int64)
    unused = begins[1:] - np.maximum.accumulate(ends)[:-1]
    most = _MANY_TIMES * float(np.quantile(unused, 0.99)) + _MANY_BYTES if len(unused) else np.inf
    where = {stamp: number for number, (stamp, _, _) in enumerate(places) if stamp is not None}
    found = []
    for gap in long.tolist():
        before, after = where.get(int(pts[gap])), where.get(int(pts[gap + 1]))
        # B-frames: the file's order is not that of time, so a few packets around belong to it.
        if before is not None and after is not None:
            low, high = max(0, min(before, after) - 4), max(before, after) + 4
            if (unused[low:high] > most).any():
                found.append((gap, gap + 1))
    return found


def _places(uri: str) -> list[tuple[int | None, int, int]]:
    """(time stamp of a video frame or None, position, bytes) of all packets, in the order of the file."""
    container, stream = open_video(uri)
    found = []
    with container:
        for packet in packets(container):
            if packet is not None and packet.pos is not None and packet.pos >= 0:
                stamp = packet.pts if packet.stream_index == stream.index else None
                found.append((stamp, packet.pos, packet.size))
    return sorted(found, key=lambda entry: entry[1])
