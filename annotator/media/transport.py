"""Whether a transport stream ends where it should: it does not say how long it is, but its last packets do.

ISO/IEC 13818-1, 2.4.3: a frame begins in a packet of its own, and the last packet of a frame is filled up
with stuffing. A frame of which the last packet is full of data goes on, but for one in 184.
"""

from __future__ import annotations

from annotator.media.container import local_file

_SYNC, _PACKET = 0x47, 188
# Bytes from packet to packet: plain, with a time code before each (M2TS), with parity behind each.
_STRIDES = (188, 192, 204)
_HEAD, _TAIL = 4096, 4 << 20


def ends_within_a_frame(uri: str, pid: int) -> bool:
    """Whether the last frame of a stream of a file is not there to its end: the file was cut off.

    Args:
        pid: number of the stream in the file.
    """
    with local_file(uri) as path, open(path, "rb") as file:
        grid = _grid(file.read(_HEAD))
        if grid is None:
            return False
        first, stride = grid
        size = file.seek(0, 2)
        begin = first + max(0, size - _TAIL - first) // stride * stride
        file.seek(begin)
        tail = file.read()
    for place in reversed(range(0, len(tail), stride)):
        packet = tail[place : place + _PACKET]
        if len(packet) < 4 or packet[0] != _SYNC or _pid(packet) != pid or not packet[3] & 0x10:
            continue
        starts = bool(packet[1] & 0x40)
        if len(packet) == _PACKET:
            return not _is_filled_up(packet)
        if not starts:
            return True
        # Of a frame that begins in half a packet nothing can be read: the one before counts.
    return False


def _grid(head: bytes) -> tuple[int, int] | None:
    """Place of the first packet and distance of packets."""
    for stride in _STRIDES:
        for first in range(min(stride, len(head))):
            marks = head[first::stride]
            if len(marks) > 4 and all(mark == _SYNC for mark in marks):
                return first, stride
    return None


def _pid(packet: bytes) -> int:
    return (packet[1] & 0x1F) << 8 | packet[2]


def _is_filled_up(packet: bytes) -> bool:
    """Whether a packet has stuffing: more adaptation field than its flags ask for."""
    if not packet[3] & 0x20:
        return False
    length = packet[4]
    if not length:
        return True
    flags = packet[5]
    needed = 1 + 6 * bool(flags & 0x10) + 6 * bool(flags & 0x08) + bool(flags & 0x04)
    if flags & 0x03:
        # Private data and extensions tell their own lengths; rare in video.
        return True
    return length > needed
