"""Stretches of a film of which nothing is left: frames that are missing without any error.

The header may promise more than there is, and a transport stream may end within a frame. Where a stretch is
gone, demuxers of Matroska and transport streams look for the next thing that makes sense and say nothing.
What tells damage from a pause in the recording: bytes of the file belong to no packet there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.errors import ItemError
from annotator.media.container import open_video, packets
from annotator.media.transport import ends_within_a_frame

if TYPE_CHECKING:
    from annotator.media.scan import Scan, VideoIndex

# A gap in time that is looked into: seconds, and times the usual distance of frames.
_LONG_SECONDS, _LONG_TIMES = 0.5, 5.0
# Bytes without a packet that are no headers and padding: times the most that is usual, and beyond it.
_MANY_TIMES, _MANY_BYTES = 3.0, 512
# A frame that is the last one in the file is shown among so many last ones: more B-frames no codec allows.
_LAST = 32


def without_lost(uri: str, found: Scan, index: VideoIndex, stamps: np.ndarray) -> VideoIndex:
    """The index with all that is lost of the video named, and without frames that were made from it.

    Args:
        found: what the video says of itself.
        index: of all its frames.
        stamps: (N,) int64, their time stamps in the file.
    """
    times, count = index.times, len(index)
    distance = float(times[-1]) / (count - 1) if count > 1 else 1 / (index.rate or 25)
    end = float(times[-1]) + distance
    borders = [*times.tolist(), end, end + distance]
    keep = np.ones(count, bool)
    stretches = []
    if index.keyframe_pts is not None:
        for before, after in _gaps(uri, stamps, float(found.time_base)):
            # What follows makes sense again from the next keyframe on.
            resumed = np.flatnonzero(index.keyframe_pts[after:] > stamps[before])
            place = after + int(resumed[0]) if len(resumed) else count
            keep[after:place] = False
            stretches.append((borders[before], borders[place]))
    if found.container == "mpegts" and len(found.shown) and ends_within_a_frame(uri, found.stream):
        # It is among the last ones shown; recordings that were joined may have its time stamp too.
        late = np.flatnonzero(stamps[-_LAST:] == found.shown[-1])
        place = max(0, count - _LAST) + int(late[-1]) if len(late) else count
        if place == count or (place and keep[place]):
            keep[place : place + 1] = False
            stretches.append((borders[place], borders[place + 1]))
    missing = _missing_seconds(uri, found)
    if missing:
        stretches.append((end, end + missing))
    return replace(
        index,
        pts=index.pts[keep],
        keyframe_pts=None if index.keyframe_pts is None else index.keyframe_pts[keep],
        keys=index.keys[keep],
        lost_seconds=missing,
        lost=tuple(sorted(stretches)),
    )


def _missing_seconds(uri: str, found: Scan) -> float:
    """How much sooner the video ends than its header says; nothing if that is less than a second."""
    if found.promised is None:
        return 0.0
    missing = found.promised - float(found.end * found.time_base)
    if missing <= 1:
        return 0.0
    # Sound and subtitles may be longer than the picture.
    if found.of_all and found.promised - _end_of_all(uri) <= 1:
        return 0.0
    return missing


def _end_of_all(uri: str) -> float:
    """When the last packet of any stream ends, in seconds."""
    container, _ = open_video(uri)
    with container:
        return max(
            (
                float((packet.pts + (packet.duration or 0)) * packet.time_base)
                for packet in packets(container)
                if packet is not None and packet.pts is not None and packet.time_base
            ),
            default=0.0,
        )


def _gaps(uri: str, pts: np.ndarray, time_base: float) -> list[tuple[int, int]]:
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
