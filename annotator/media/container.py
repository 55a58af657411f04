"""A video file opened with care, and its packets read past damage."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from annotator.errors import ItemError
from annotator.locations import is_remote
from annotator.media import pulse
from annotator.media.remote import local_copy
from annotator.uris import is_text, local_path

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


def open_video(uri: str) -> tuple[InputContainer, VideoStream]:
    """The container and its first video stream, ready to decode; the caller closes the container.

    Raises:
        ItemError: stage "read" with kind missing, unreadable, empty or not_a_file; stage "decode" with kind
            not_a_video, truncated or no_video_stream.
    """
    with local_file(uri) as path:
        return _open(path)


@contextmanager
def local_file(uri: str) -> Iterator[str]:
    """A path under which the file can be opened, good until the end of the block.

    Raises:
        ItemError: as `remote.local_copy`.
    """
    if is_remote(uri):
        with local_copy(uri) as path:
            yield path
    else:
        yield local_path(uri)


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


def packets(container: InputContainer, *streams: VideoStream) -> Iterator[Packet | None]:
    """Packets in the order of the file, None in place of a stretch that cannot be read.

    Args:
        streams: those wanted; all if none is named.
    """
    from av.error import EOFError as EndOfFile
    from av.error import FFmpegError

    failures = 0
    while failures < _MOST_FAILURES:
        try:
            for packet in container.demux(*streams):
                pulse.beat()
                if packet.size:
                    failures = 0
                    yield packet
            return
        except EndOfFile:
            return
        except FFmpegError:
            failures += 1
            yield None
