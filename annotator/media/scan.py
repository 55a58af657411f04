"""What the header and the packets of a video say, read without decoding, and the index made of it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from annotator.media.container import packets

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream


@dataclass(frozen=True, slots=True)
class Scan:
    """What a video says of itself.

    Attributes:
        container: FFmpeg's name of the format.
        stream: number of the video stream in the file.
        width, height, rate: as `VideoIndex` has them.
        time_base: seconds a unit of time stamps; 0 if it does not say.
        shown, keys: time stamps of the frames that are shown, and of the keyframes, in the order of the file.
        timed: whether each frame has a time stamp of its own and decoding can begin by those of keyframes.
        end: when the last frame ends, in units of `time_base`.
        promised: seconds at which the video ends by its header; None where it does not say, or on no clock
            that the packets have too.
        of_all: whether the header says so of all streams together.
    """

    container: str
    stream: int
    width: int
    height: int
    rate: float | None
    time_base: Fraction
    shown: np.ndarray
    keys: np.ndarray
    timed: bool
    end: int
    promised: float | None
    of_all: bool


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


def scan(container: InputContainer, stream: VideoStream) -> Scan:
    """Read all packets of a video."""
    codec = stream.codec_context
    avi = container.format.name == "avi"
    shown: list[int] = []
    keys: list[int] = []
    stamped, end = True, 0
    for packet in packets(container, stream):
        if packet is None:
            continue
        if packet.pts is None:
            stamped = False
        elif packet.is_keyframe and not packet.is_corrupt:
            keys.append(packet.pts)
        if not packet.is_discard and not _is_hidden(stream, packet):
            if packet.pts is not None:
                shown.append(packet.pts)
            # AVI counts its packets, and says how many there are.
            place = packet.dts if avi else packet.pts
            end = max(end, (place or 0) + (packet.duration or 0))
    base, rate = stream.time_base or Fraction(0), stream.average_rate or stream.guessed_rate
    # AVI has no time stamps: of the codecs with B-frames in it, only MPEG-4's are made up rightly.
    made_up = avi and codec.has_b_frames and codec.name != "mpeg4"
    # Recordings that were joined as they are have a clock each.
    one_clock = stamped and keys == sorted(keys)
    unique = len(set(shown)) == len(shown)
    promised, of_all = _promised(container, stream) if avi or one_clock else (None, False)
    return Scan(
        container=container.format.name,
        stream=stream.id,
        width=codec.width,
        height=codec.height,
        rate=float(rate) if rate else None,
        time_base=base,
        shown=np.array(shown, np.int64),
        keys=np.array(keys, np.int64),
        timed=one_clock and unique and not made_up and base > 0 and bool(keys and shown),
        end=end,
        promised=promised,
        of_all=of_all,
    )


def _is_hidden(stream: VideoStream, packet: Packet) -> bool:
    # VP8 keeps frames that are only referred to in packets of their own; RFC 6386, section 9.1: show_frame.
    return stream.codec_context.name in ("vp8", "libvpx") and not bytes(packet)[0] & 0x10


def _promised(container: InputContainer, stream: VideoStream) -> tuple[float | None, bool]:
    """When the video ends by its header, in seconds, and whether that is said of all streams together."""
    start, base = stream.start_time or 0, float(stream.time_base or 0)
    if container.format.name == "avi":
        # Of a file that was cut off, FFmpeg makes the duration smaller; the header's number of frames stays.
        return (start + stream.frames) * base, False
    if stream.duration and container.format.name != "asf":
        return (start + stream.duration) * base, False
    if container.duration:
        return (max(container.start_time or 0, 0) + container.duration) / 1e6, True
    return None, False
