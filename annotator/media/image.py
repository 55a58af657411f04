"""One picture: read, judged by its header, decoded whole or refused, and turned upright."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from annotator.errors import ItemError
from annotator.locations import is_remote
from annotator.media.decoders import decode
from annotator.media.header import Header, read_header
from annotator.media.orientation import exif_orientation, png_orientation, upright
from annotator.media.remote import read_bytes
from annotator.uris import local_path


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What may be decoded at all, and how much of it at once.

    Attributes:
        max_pixels: width x height above which a picture is refused from its header.
        max_file_bytes: size above which a file is refused unread.
        reduce_above: width x height above which pixels are handed on at 1/2, 1/4 or 1/8 of the size in each
            direction,
            whichever comes first to at most this many. JPEGs are reduced while they are decoded, so that the
            large picture is never in memory; others are decoded whole first.
    """

    max_pixels: int = 250_000_000
    max_file_bytes: int = 1 << 30
    reduce_above: int = 64_000_000

    def factor(self, pixels: int) -> int:
        """1, 2, 4 or 8: how much smaller in each direction a picture of so many pixels is handed on."""
        return next((factor for factor in (1, 2, 4) if pixels <= self.reduce_above * factor**2), 8)


@dataclass(frozen=True, slots=True)
class Image:
    """A decoded picture.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright, C-contiguous.
        width, height: of the full upright picture in pixels, whatever the size of `pixels`.
        scale: full size / size of `pixels`: 1, 2, 4 or 8. `Poses.scaled` brings what was found in `pixels`
            into the frame of the full picture. Where its sides are no multiples of `scale`, up to scale - 1
            pixels at the border are lost or made up; a picture that EXIF turned may be off by as many.
    """

    pixels: np.ndarray
    width: int
    height: int
    scale: int = 1


def read_image(
    uri: str, limits: ImageLimits | None = None, admit: Callable[[int], None] | None = None
) -> Image:
    """Read and decode one picture; the first frame of an animation, the main picture of a HEIC file.

    Args:
        uri: absolute path, file:// URI, or URL of an object store.
        limits: default: `ImageLimits()`.
        admit: called with the bytes of memory that decoding will take, known from the header, before it
            starts; it
            may wait for memory to become free.

    Raises:
        ItemError: stage "read" with kind missing, unreadable, empty, not_an_image (a folder, a pipe) or
            too_large
            (in bytes); stage "decode" with kind not_an_image, truncated, corrupt, too_large (in pixels) or
            unsupported.
    """
    limits = limits or ImageLimits()
    data, header = _read(uri, limits, admit)
    factor = limits.factor(header.width * header.height)
    try:
        pixels = decode(data, header, factor)
        orientation = png_orientation(data) if header.format == "PNG" else exif_orientation(header.exif)
    except MemoryError:
        raise ItemError(
            "decode", "too_large", f"not enough memory for {header.width} x {header.height} pixels"
        ) from None
    width, height = header.width, header.height
    if not header.upright:
        pixels = upright(pixels, orientation)
        width, height = (height, width) if orientation >= 5 else (width, height)
    return Image(np.ascontiguousarray(pixels), width, height, factor)


def _read(uri: str, limits: ImageLimits, admit: Callable[[int], None] | None) -> tuple[bytes, Header]:
    if is_remote(uri):
        return _read_remote(uri, limits, admit)
    path = local_path(uri)
    try:
        # A pipe that nobody writes to would hold up an ordinary open for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            _check_file(status, limits)
        except ItemError:
            os.close(descriptor)
            raise
        with open(descriptor, "rb") as file:
            header = read_header(file)
            _check_header(header, limits)
            if admit is not None:
                admit(header.memory(limits.factor(header.width * header.height)) + status.st_size)
            return _all_bytes(file, status.st_size), header
    except OSError as error:
        kind = "missing" if error.errno in _MISSING else "unreadable"
        raise ItemError("read", kind, error.strerror or str(error)) from None
    except ValueError as error:
        raise ItemError("read", "unreadable", f"the path cannot be opened: {error}") from None


def _read_remote(uri: str, limits: ImageLimits, admit: Callable[[int], None] | None) -> tuple[bytes, Header]:
    data = read_bytes(uri, limits.max_file_bytes)
    header = read_header(io.BytesIO(data))
    _check_header(header, limits)
    if admit is not None:
        admit(header.memory(limits.factor(header.width * header.height)) + len(data))
    return data, header


_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def _all_bytes(file: BinaryIO, size: int) -> bytes:
    file.seek(0)
    data = io.BytesIO()
    # Not past the size that was admitted: the file may be growing.
    while data.tell() < size and (part := file.read(size - data.tell())):
        data.write(part)
    return data.getvalue()


def _check_file(status: os.stat_result, limits: ImageLimits) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ItemError("read", "not_an_image", "this is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise ItemError("read", "not_an_image", "this is a pipe or device, not a file")
    if status.st_size == 0:
        raise ItemError("read", "empty", "the file has 0 bytes")
    if status.st_size > limits.max_file_bytes:
        raise ItemError(
            "read", "too_large", f"{status.st_size:,} bytes; at most {limits.max_file_bytes:,} are read"
        )


def _check_header(header: Header, limits: ImageLimits) -> None:
    if header.width < 1 or header.height < 1:
        raise ItemError("decode", "corrupt", f"the header says {header.width} x {header.height} pixels")
    if header.width * header.height > limits.max_pixels:
        raise ItemError(
            "decode",
            "too_large",
            f"{header.width} x {header.height} pixels; at most {limits.max_pixels:,} are decoded "
            f"(max_pixels)",
        )
