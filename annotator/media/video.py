"""The frames of a video, indexed by reading its packets without decoding them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from annotator.errors import ItemError
from annotator.media.container import open_video, packets
from annotator.media.damage import lost_stretches
from annotator.media.decoding import Decoder
from annotator.media.transport import ends_within_a_frame

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream


@dataclass(frozen=True, slots=True)
class VideoIndex:
    """The frames of a video in the order of presentation.

    Attributes:
        pts: (N,) int64, strictly ascending, in units of `time_base`.
        keyframe_pts: (N,) int64, the time stamp of the keyframe that decoding of each frame starts from; None
            where time stamps cannot be relied on: frames are counted from the beginning instead, and `pts`
            are their numbers.
        keys: (N,) bool, which frames are keyframes.
        time_base: seconds a unit of `pts`.
        width, height: of the frames as the header says, before they are turned upright.
        rate: frames a second on average, as the header says; None if it does not.
        lost_seconds: how much sooner the frames end than the header says; 0 where it is right.
        undecodable: frames before the first keyframe, left out.
        lost: stretches without frames where the file is damaged or cut off: (from, to) in seconds from the
            first frame, ascending. Of a transport stream that ends within a frame, that frame: how much
            followed it, nothing says.
    """

    pts: np.ndarray
    keyframe_pts: np.ndarray | None
    keys: np.ndarray
    time_base: Fraction
    width: int
    height: int
    rate: float | None = None
    lost_seconds: float = 0.0
    undecodable: int = 0
    lost: tuple[tuple[float, float], ...] = ()

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def times(self) -> np.ndarray:
        """(N,) float64: seconds from the first frame."""
        return (self.pts - self.pts[:1]) * self.time_base.numerator / self.time_base.denominator


def index_video(uri: str) -> VideoIndex:
    """Index a video by reading its packets once, without decoding.

    Files whose packets have no time stamps, or ambiguous ones (AVI with B-frames, recordings with overlapping
    clocks in one file), are decoded once to count their frames.

    Raises:
        ItemError: as `open_video`, and stage "decode", kind "no_frames".
    """
    container, stream = open_video(uri)
    try:
        index = _index(uri, container, stream)
    finally:
        container.close()
    if index.keyframe_pts is None:
        return _counted(uri, index)
    return _without_lost(uri, index)


def _index(uri: str, container: InputContainer, stream: VideoStream) -> VideoIndex:
    shown: list[int] = []
    keys: list[int] = []
    codec = stream.codec_context
    # AVI has no time stamps: of the codecs with B-frames in it, only MPEG-4's are made up rightly.
    timed = not (container.format.name == "avi" and codec.has_b_frames and codec.name != "mpeg4")
    end = 0
    for packet in packets(container, stream):
        if packet is None:
            continue
        if packet.pts is None:
            timed = False
            break
        if packet.is_keyframe and not packet.is_corrupt:
            keys.append(packet.pts)
        if not packet.is_discard and not _is_hidden(stream, packet):
            shown.append(packet.pts)
            end = max(end, packet.pts + (packet.duration or 0))
    # Recordings that were joined as they are have a clock each.
    timed = timed and keys == sorted(keys)
    base = stream.time_base or Fraction(0)
    pts, starts = np.array(sorted(shown), np.int64), np.array(sorted(keys), np.int64)
    if timed and not len(pts):
        raise ItemError("decode", "no_frames", "the video stream holds no frame")
    timed = timed and base > 0 and len(starts) > 0 and bool((np.diff(pts) > 0).all())
    lost, undecodable = 0.0, 0
    cut: tuple[tuple[float, float], ...] = ()
    if timed:
        lost = _lost_seconds(uri, container, stream, float(end * base))
        undecodable = int(np.searchsorted(pts, starts[0]))
        pts = pts[undecodable:]
        if container.format.name == "mpegts" and ends_within_a_frame(uri, stream.id) and pts[0] < shown[-1]:
            unfinished, after = shown[-1], [*pts[pts > shown[-1]].tolist(), end][0]
            cut = ((float((unfinished - pts[0]) * base), float((after - pts[0]) * base)),)
            pts = pts[pts != unfinished]
    rate = stream.average_rate or stream.guessed_rate
    return VideoIndex(
        pts=pts,
        keyframe_pts=starts[np.searchsorted(starts, pts, "right") - 1] if timed else None,
        keys=np.isin(pts, starts),
        time_base=base,
        width=codec.width,
        height=codec.height,
        rate=float(rate) if rate else None,
        lost_seconds=lost,
        undecodable=undecodable,
        lost=cut,
    )


def _is_hidden(stream: VideoStream, packet: Packet) -> bool:
    # VP8 keeps frames that are only referred to in packets of their own; RFC 6386, section 9.1: show_frame.
    return stream.codec_context.name in ("vp8", "libvpx") and not bytes(packet)[0] & 0x10


def _lost_seconds(uri: str, container: InputContainer, stream: VideoStream, end: float) -> float:
    """How much sooner the video ends than its header says; nothing if that is less than a second."""
    whole = False
    if container.format.name == "avi":
        # Of a file that was cut off, FFmpeg makes the duration smaller; the header's number of frames stays.
        said = float((stream.start_time or 0) + stream.frames) * float(stream.time_base or 0)
    elif stream.duration and container.format.name != "asf":
        said = float((stream.start_time or 0) + stream.duration) * float(stream.time_base or 0)
    elif container.duration:
        said = (max(container.start_time or 0, 0) + container.duration) / 1e6
        # Of the whole file (WMV says it of each stream): sound and subtitles may be longer than the picture.
        whole = said - end > 1 >= said - _end_of_all(uri)
    else:
        return 0.0
    return said - end if said - end > 1 and not whole else 0.0


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


def _without_lost(uri: str, index: VideoIndex) -> VideoIndex:
    """The index with its lost stretches named, and without frames that were made from what was lost."""
    assert index.keyframe_pts is not None
    times, count = index.times, len(index)
    end = float(times[-1]) + float(times[-1] - times[0]) / max(1, count - 1)
    keep = np.ones(count, bool)
    stretches = []
    for before, after in lost_stretches(uri, index.pts, float(index.time_base)):
        # What follows makes sense again from the next keyframe on.
        resumed = np.flatnonzero(index.keyframe_pts[after:] > index.pts[before])
        place = after + int(resumed[0]) if len(resumed) else count
        keep[after:place] = False
        stretches.append((float(times[before]), float(times[place]) if place < count else end))
    if index.lost_seconds:
        stretches.append((end, end + index.lost_seconds))
    return replace(
        index,
        pts=index.pts[keep],
        keyframe_pts=index.keyframe_pts[keep],
        keys=index.keys[keep],
        lost=(*stretches, *index.lost),
    )


def _counted(uri: str, index: VideoIndex) -> VideoIndex:
    container, stream = open_video(uri)
    try:
        decoder = Decoder(stream)
        keys = [bool(frame.key_frame) for _, frame, _ in decoder.frames(packets(container, stream))]
    finally:
        container.close()
    if not keys:
        raise ItemError("decode", "no_frames", "no frame of the video can be decoded")
    return VideoIndex(
        pts=np.arange(len(keys), dtype=np.int64),
        keyframe_pts=None,
        keys=np.array(keys, bool),
        time_base=1 / Fraction(index.rate or 25).limit_denominator(100_000),
        width=index.width,
        height=index.height,
        rate=index.rate,
    )
