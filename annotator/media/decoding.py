"""Packets to frames, and frames to upright pictures; one video, one thread."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from annotator.errors import ItemError
from annotator.items import Item
from annotator.media.container import open_video, packets
from annotator.media.image import Image, ImageLimits

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# To seek costs about as much as to decode so many frames.
_WORTH_SEEKING = 16
# So many B-frames in a row wait for the frame behind them. Where there are more, they refer back alone.
_MOST_HELD = 16
# Containers find the way to a time by whatever table they have; where that leads too far, start earlier.
_EARLIER_SECONDS = (0.0, 1.0, 4.0, 16.0, 64.0)


class Decoder:
    """Decodes packets in the order of the file and tells which frames damage has reached.

    Attributes:
        met_damage: whether there was any so far.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._codec = stream.codec_context
        self.met_damage = False

    def frames(
        self, source: Iterable[Packet | None], begin: int | None = None
    ) -> Iterator[tuple[int | None, VideoFrame, bool]]:
        """(time stamp, frame, damaged) in the order of presentation.

        A packet that is corrupt or cannot be decoded, or a stretch that cannot be read (None), damages all
        frames that are decoded after it, up to the next keyframe; behind that, the frames shown before it.
        So is the frame decoded before it: decoders often notice damage only where it ends. Where the decoder
        itself says that a frame is damaged, so are those that follow, up to the next keyframe, and the
        B-frames shown before it, which were made from it.

        Args:
            begin: time stamp of the keyframe that was sought. In an open GOP the frames shown before it need
                the group before, so that they fail, which says nothing of the others.
        """
        from av.video.frame import PictureType

        held: list[tuple[int | None, VideoFrame, bool]] = []
        for pts, frame, damaged in self._decoded(source, begin):
            if frame.pict_type == PictureType.B:
                held.append((pts, frame, damaged))
                if len(held) > _MOST_HELD:
                    yield held.pop(0)
                continue
            for earlier_pts, earlier, bad in held:
                yield earlier_pts, earlier, bad or frame.is_corrupt
            held.clear()
            yield pts, frame, damaged
        yield from held

    def _decoded(
        self, source: Iterable[Packet | None], begin: int | None
    ) -> Iterator[tuple[int | None, VideoFrame, bool]]:
        from av.error import FFmpegError

        broken, healed_from = False, None
        damaged: set[int] = set()
        before: int | None = None
        key: int | None = None
        for packet in source:
            if packet is None:
                broken = True
                if before is not None:
                    damaged.add(before)
                continue
            pts = packet.pts
            if packet.is_keyframe and not packet.is_corrupt:
                healed_from = pts if broken else None
                broken, key = False, pts
            broken = broken or packet.is_corrupt
            if pts is not None and (broken or (healed_from is not None and pts < healed_from)):
                damaged.add(pts)
            try:
                frames = self._codec.decode(packet)
            except FFmpegError:
                if pts is None or begin is None or pts >= begin:
                    broken = True
                    if before is not None:
                        damaged.add(before)
                if pts is not None:
                    damaged.add(pts)
                frames = []
            before = pts
            yield from self._judged(frames, damaged, broken)
            broken = broken or any(
                frame.is_corrupt and (frame.pts is None or key is None or frame.pts >= key)
                for frame in frames
            )
            self.met_damage |= broken
        try:
            frames = self._codec.decode(None)
        except FFmpegError:
            return
        yield from self._judged(frames, damaged, broken)

    def _judged(
        self, frames: Iterable[VideoFrame], damaged: set[int], broken: bool
    ) -> Iterator[tuple[int | None, VideoFrame, bool]]:
        for frame in frames:
            bad = frame.is_corrupt or (broken if frame.pts is None else frame.pts in damaged)
            damaged.discard(-1 if frame.pts is None else frame.pts)
            yield frame.pts, frame, bad


class FrameReader:
    """Reads single frames of one video, best in ascending order; holds a few frames, however long the video.

    Not safe for use from several threads at once.
    """

    def __init__(self, uri: str, limits: ImageLimits | None = None) -> None:
        from av.video.reformatter import VideoReformatter

        self._uri = uri
        self._limits = limits or ImageLimits()
        self._reformatter = VideoReformatter()
        self._container = None
        self._frames: Iterator[tuple[int, VideoFrame, bool]] = iter(())
        self._pending: tuple[int, VideoFrame, bool] | None = None
        self._last: Item | None = None
        self._decoder: Decoder | None = None
        self._sought = False
        self._may_seek = True

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._frames, self._pending, self._last = iter(()), None, None
        if self._container is not None:
            self._container.close()
            self._container = None

    def read(self, item: Item, admit: Callable[[int], None] | None = None) -> Image:
        """One frame, upright.

        Args:
            item: with `frame_index`, `pts` and `keyframe_pts` as planned.
            admit: called with the bytes of memory that its pixels will take, before they are made.

        Raises:
            ItemError: stage "read" or "decode"; the message says at which time. Kinds beside those of
                `open_video`: corrupt (damage has reached the frame), lost (it does not come out of the
                decoder) and too_large.
        """
        from av.error import FFmpegError

        at = f"the frame at {item.time or 0:.3f} s"
        try:
            frame, damaged = self._find(item)
        except ItemError as error:
            raise ItemError(error.stage, error.kind, f"{at}: {error.message}") from None
        except (FFmpegError, OSError) as error:
            self.close()
            raise ItemError("decode", "corrupt", f"{at} cannot be read: {_line(error)}") from None
        if frame is None:
            raise ItemError("decode", "lost", f"{at} cannot be decoded: damaged, or the file was cut off")
        if damaged:
            raise ItemError("decode", "corrupt", f"{at} is damaged, or refers to damaged frames before it")
        if frame.width * frame.height > self._limits.max_pixels:
            size = f"{frame.width} x {frame.height} pixels"
            most = f"at most {self._limits.max_pixels:,} are decoded"
            raise ItemError("decode", "too_large", f"{at} has {size}; {most}")
        if admit is not None:
            admit(6 * frame.width * frame.height)
        return self._image(frame)

    def _image(self, frame: VideoFrame) -> Image:
        pixels = _upright(self._reformatter.reformat(frame, format="rgb24").to_ndarray(), frame)
        return Image(pixels, pixels.shape[1], pixels.shape[0])

    def _find(self, item: Item) -> tuple[VideoFrame | None, bool]:
        wanted = item.pts
        assert wanted is not None
        if not self._is_ahead(item):
            self._start(item)
        self._last = item
        frame, damaged = self._advance(wanted)
        if frame is None and self._sought and self._decoder is not None and not self._decoder.met_damage:
            # Seeking led to a place where the time stamps are others.
            self._may_seek = False
            self._start(item)
            self._last = item
            frame, damaged = self._advance(wanted)
        return frame, damaged

    def _advance(self, wanted: int) -> tuple[VideoFrame | None, bool]:
        while self._pending is None or self._pending[0] < wanted:
            self._pending = next(self._frames, None)
            if self._pending is None:
                return None, False
        if self._pending[0] > wanted:
            return None, False
        _, frame, damaged = self._pending
        self._pending = None
        return frame, damaged

    def _is_ahead(self, item: Item) -> bool:
        """Whether decoding on from where the reader is leads to the frame, and soon."""
        last = self._last
        if last is None or (item.frame_index or 0) <= (last.frame_index or 0):
            return False
        if not self._may_seek or item.keyframe_pts is None or item.keyframe_pts <= (last.pts or 0):
            return True
        if self._pending is not None and self._pending[0] > (item.pts or 0):
            # A time stamp far ahead of its place in the file: the next keyframe is a new beginning.
            return False
        return (item.frame_index or 0) - (last.frame_index or 0) <= _WORTH_SEEKING

    def _start(self, item: Item) -> None:
        """Make `_frames` begin at or before the frame's keyframe."""
        from av.error import FFmpegError

        self.close()
        self._container, stream = open_video(self._uri)
        self._decoder, self._sought = Decoder(stream), False
        if item.keyframe_pts is None:
            found = self._decoder.frames(packets(self._container, stream))
            self._frames = ((number, frame, bad) for number, (_, frame, bad) in enumerate(found))
            return
        # In MPEG program streams the demuxer makes up most time stamps, other ones after seeking.
        may_seek = self._may_seek and self._container.format.name != "mpeg"
        for seconds in _EARLIER_SECONDS if may_seek else ():
            target = item.keyframe_pts - round(seconds / float(stream.time_base or 1))
            try:
                self._container.seek(target, stream=stream)
            except FFmpegError:
                break
            source = packets(self._container, stream)
            first = next((packet for packet in source if packet is not None and packet.is_keyframe), None)
            if first is not None and first.pts is not None and first.pts <= item.keyframe_pts:
                self._sought = True
                self._frames = _timed(self._decoder.frames(chain([first], source), first.pts))
                return
        self._container.close()
        self._container, stream = open_video(self._uri)
        self._decoder = Decoder(stream)
        self._frames = _timed(self._decoder.frames(packets(self._container, stream)))


def _timed(found: Iterable[tuple[int | None, VideoFrame, bool]]) -> Iterator[tuple[int, VideoFrame, bool]]:
    """Frames with a time stamp, in ascending order of it; others belong to no planned frame."""
    last = None
    for pts, frame, damaged in found:
        if pts is not None and (last is None or pts > last):
            last = pts
            yield pts, frame, damaged


def _upright(pixels: np.ndarray, frame: VideoFrame) -> np.ndarray:
    """Pixels (H, W, 3) as the display matrix says, in quarter turns, mirrored or not."""
    a, b, c, d = _display_matrix(frame)
    # The pixel at (x, y) is shown at (ax + cy, bx + dy).
    if abs(b) > abs(a):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _display_matrix(frame: VideoFrame) -> tuple[float, float, float, float]:
    try:
        found = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV has no name for some of what frames carry, such as EXIF in Motion JPEG. The angle it knows.
        angle = math.radians(frame.rotation)
        return math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
    if found is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(found))
    return a, b, c, d


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:300]
