"""A video file: opened with care, its packets read past damage, its frames indexed without decoding them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.errors import ItemError
from annotator.media.remote import local_copy
from annotator.sources.uris import is_text, local_path
from annotator.store.locations import is_remote

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

# No playlists, no lists of files, whatever a file calls itself: nothing but the named file is opened.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,h264,hevc,m4v,mxf,ivf,wtv"
)
# Failures of the demuxer in a row after which a file has no more to give.
_MOST_FAILURES = 100


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
            first frame, ascending.
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


def open_video(uri: str) -> tuple[InputContainer, VideoStream]:
    """The container and its first video stream, ready to decode; the caller closes the container.

    Raises:
        ItemError: stage "read" with kind missing, unreadable, empty or not_a_file; stage "decode" with kind
            not_a_video, truncated or no_video_stream.
    """
    if is_remote(uri):
        with local_copy(uri) as path:
            return _open(path)
    return _open(local_path(uri))


def _open(path: str) -> tuple[InputContainer, VideoStream]:
    import av
    from av.container import InputContainer
    from av.error import FFmpegError

    _check_file(path)
    options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
    source: Any = path if is_text(path) else open(path, "rb")  # noqa: SIM115 - closed with the container
    try:
        container = av.open(source, options=options, metadata_errors="replace")
    except (FFmpegError, OSError, ValueError) as error:
        raise _not_opened(path, error) from None
    assert isinstance(container, InputContainer)
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        container.close()
        raise ItemError("decode", "no_video_stream", "the file holds no video stream, only sound or data")
    stream = streams[0]
    if stream.codec_context is None:
        container.close()
        raise ItemError("decode", "unsupported", "no decoder for its codec is built in")
    # Threads by frame would hide which packet was damaged.
    stream.thread_type = "SLICE"
    return container, stream


def _is_cover(stream: VideoStream) -> bool:
    """Whether the stream is a picture attached to a sound file."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _check_file(path: str) -> None:
    try:
        status = os.stat(path)
    except OSError as error:
        kind = "missing" if error.errno in (errno.ENOENT, errno.ENOTDIR) else "unreadable"
        raise ItemError("read", kind, error.strerror or str(error)) from None
    except ValueError as error:
        raise ItemError("read", "unreadable", f"the path cannot be opened: {error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ItemError("read", "not_a_file", "this is a folder, a pipe or a device, not a file")
    if status.st_size == 0:
        raise ItemError("read", "empty", "the file has 0 bytes")


def _not_opened(path: str, error: Exception) -> ItemError:
    if isinstance(error, PermissionError):
        return ItemError("read", "unreadable", error.strerror or str(error))
    with open(path, "rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp":
        message = "the table of its frames (moov) is missing or damaged: the file was probably cut off"
        return ItemError("decode", "truncated", message)
    return ItemError("decode", "not_a_video", "it is none of the video formats that can be read")


def packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet | None]:
    """Packets of the stream in the order of the file; None in place of a stretch that cannot be read."""
    from av.error import EOFError as EndOfFile
    from av.error import FFmpegError

    failures = 0
    while failures < _MOST_FAILURES:
        try:
            for packet in container.demux(stream):
                if packet.size:
                    failures = 0
                    yield packet
            return
        except EndOfFile:
            return
        except FFmpegError:
            failures += 1
            yield None


def index_video(uri: str) -> VideoIndex:
    """Index a video by reading its packets once, without decoding.

    Files whose packets have no time stamps, or ambiguous ones (AVI with B-frames), are decoded once to count
    their frames.

    Raises:
        ItemError: as `open_video`, and stage "decode", kind "no_frames".
    """
    container, stream = open_video(uri)
    try:
        index = _index(container, stream)
    finally:
        container.close()
    if index.keyframe_pts is None:
        return _counted(uri, index)
    return _without_lost(uri, index)


def _index(container: InputContainer, stream: VideoStream) -> VideoIndex:
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
    base = stream.time_base or Fraction(0)
    pts, starts = np.array(sorted(shown), np.int64), np.array(sorted(keys), np.int64)
    if timed and not len(pts):
        raise ItemError("decode", "no_frames", "the video stream holds no frame")
    timed = timed and base > 0 and len(starts) > 0 and bool((np.diff(pts) > 0).all())
    lost, undecodable = 0.0, 0
    if timed:
        lost = _lost_seconds(container, stream, float(end * base))
        undecodable = int(np.searchsorted(pts, starts[0]))
        pts = pts[undecodable:]
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
    )


def _is_hidden(stream: VideoStream, packet: Packet) -> bool:
    # VP8 keeps frames that are only referred to in packets of their own; RFC 6386, section 9.1: show_frame.
    return stream.codec_context.name in ("vp8", "libvpx") and not bytes(packet)[0] & 0x10


def _lost_seconds(container: InputContainer, stream: VideoStream, end: float) -> float:
    """How much sooner the video ends than its header says; less than a second is nothing."""
    if stream.duration:
        said = float((stream.start_time or 0) + stream.duration) * float(stream.time_base or 0)
    elif container.duration:
        said = (max(container.start_time or 0, 0) + container.duration) / 1e6
    else:
        return 0.0
    return said - end if said - end > 1 else 0.0


def _without_lost(uri: str, index: VideoIndex) -> VideoIndex:
    """The index with its lost stretches named, and without frames that were made from what was lost."""
    from annotator.media.damage import lost_stretches

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
        lost=tuple(stretches),
    )


def _counted(uri: str, index: VideoIndex) -> VideoIndex:
    from annotator.media.decoding import Decoder

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
