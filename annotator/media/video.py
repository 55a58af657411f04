"""The frames of a video, indexed by reading its packets without decoding them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from annotator.errors import ItemError
from annotator.media.container import open_video, packets
from annotator.media.damage import without_lost
from annotator.media.decoding import Decoder
from annotator.media.scan import Scan, VideoIndex, scan


def index_video(uri: str) -> VideoIndex:
    """Index a video by reading its packets once, without decoding.

    Files whose packets have no time stamps, or ambiguous ones (AVI with B-frames, recordings with overlapping
    clocks in one file), are decoded once to count their frames.

    Raises:
        ItemError: as `open_video`, and stage "decode", kind "no_frames".
    """
    container, stream = open_video(uri)
    try:
        found = scan(container, stream)
    finally:
        container.close()
    index, stamps = _timed(found) if found.timed else _counted(uri, found)
    return without_lost(uri, found, index, stamps)


def _timed(found: Scan) -> tuple[VideoIndex, np.ndarray]:
    """The index by time stamps, and the time stamps."""
    pts, starts = np.sort(found.shown), np.sort(found.keys)
    undecodable = int(np.searchsorted(pts, starts[0]))
    pts = pts[undecodable:]
    index = VideoIndex(
        pts=pts,
        keyframe_pts=starts[np.searchsorted(starts, pts, "right") - 1],
        keys=np.isin(pts, starts),
        time_base=found.time_base,
        width=found.width,
        height=found.height,
        rate=found.rate,
        undecodable=undecodable,
    )
    return index, pts


def _counted(uri: str, found: Scan) -> tuple[VideoIndex, np.ndarray]:
    """The index by numbers of frames, and their time stamps, such as they are; -1 where there is none."""
    stamps: list[int] = []
    keys: list[bool] = []
    container, stream = open_video(uri)
    try:
        for pts, frame, _ in Decoder(stream).frames(packets(container, stream)):
            stamps.append(-1 if pts is None else pts)
            keys.append(bool(frame.key_frame))
    finally:
        container.close()
    if not keys:
        raise ItemError("decode", "no_frames", "no frame of the video can be decoded")
    index = VideoIndex(
        pts=np.arange(len(keys), dtype=np.int64),
        keyframe_pts=None,
        keys=np.array(keys, bool),
        time_base=1 / Fraction(found.rate or 25).limit_denominator(100_000),
        width=found.width,
        height=found.height,
        rate=found.rate,
    )
    return index, np.array(stamps, np.int64)
