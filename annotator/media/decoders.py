"""Compressed bytes to stored pixels: libjpeg-turbo strictly for JPEG, OpenCV for most else, Pillow where
those fail.

All give what `cv2.imread(..., IMREAD_COLOR)`, and so MMPose, sees: alpha dropped, grey tripled, 16 bits cut
to 8.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

import cv2
import numpy as np
import PIL.Image
import simplejpeg

from annotator.errors import ItemError
from annotator.media.header import FORMATS, Header

# Reasons come from the exceptions here; OpenCV would print them between the lines of a progress bar.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_PADDING = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
# What libjpeg-turbo's simple interface does not take on, although the file may be sound.
_NOT_TAKEN = ("subsampling", "CMYK", "YCCK", "Unsupported color", "Unsupported JPEG data precision")
_TRUNCATED = ("truncat", "premature end of jpeg", "incomplete", "end of file", "could not create decoder")


def decode(data: bytes, header: Header, factor: int = 1) -> np.ndarray:
    """Decode to (ceil(H / factor), ceil(W / factor), 3) for JPEG, (H // factor, W // factor, 3) for others.

    Args:
        data: the whole file.
        header: of the same file.
        factor: 1, 2, 4 or 8.

    Returns:
        uint8 RGB, as stored: not yet upright, except for formats whose header says so.

    Raises:
        ItemError: stage "decode", kind truncated, corrupt or unsupported.
    """
    if header.format in ("JPEG", "MPO"):
        pixels = _jpeg(data, header, factor)
        if pixels is not None:
            return pixels
    pixels = None if _pillow_knows_better(header) else _opencv(data, header)
    if pixels is None:
        pixels = _pillow(data, header)
    if factor > 1:
        # Cut to whole blocks first, so that one pixel is exactly factor x factor of the full picture.
        height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
        if not height or not width:
            raise ItemError("decode", "unsupported", f"{header.width} x {header.height} pixels is too thin")
        pixels = cv2.resize(
            pixels[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA
        )
    return pixels


def _jpeg(data: bytes, header: Header, factor: int) -> np.ndarray | None:
    """Strict decoding: damage in the middle raises here, where OpenCV and Pillow hand on grey or shifted
    blocks.

    None for kinds of JPEG that this decoder does not take on.
    """
    size: dict[str, Any] = {}
    if factor > 1:
        size = {
            "min_height": -(-header.height // factor),
            "min_width": -(-header.width // factor),
            "min_factor": factor,
        }
    try:
        return _checked(simplejpeg.decode_jpeg(data, "RGB", **size), header, factor)
    except ValueError as error:
        reason = str(error)
    if any(text in reason for text in _NOT_TAKEN):
        return None
    if _is_padding(reason, data):
        return _checked(simplejpeg.decode_jpeg(data, "RGB", strict=False, **size), header, factor)
    raise _failure(reason, data)


def _checked(pixels: np.ndarray, header: Header, factor: int) -> np.ndarray:
    wanted = (-(-header.height // factor), -(-header.width // factor), 3)
    if pixels.shape != wanted:
        raise ItemError(
            "decode", "corrupt", f"{header.width} x {header.height} pixels expected, decoded {pixels.shape}"
        )
    return pixels


def _pillow_knows_better(header: Header) -> bool:
    """Where OpenCV has no decoder (HEIC), swaps red and blue (AVIF with alpha) or hides damage (TIFF)."""
    if header.format == "TIFF":
        return header.mode in ("RGB", "L", "P", "1", "CMYK")
    return header.format == "HEIF" or (header.format == "AVIF" and header.mode != "RGB")


def _opencv(data: bytes, header: Header) -> np.ndarray | None:
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    return pixels if pixels is not None and pixels.shape == (header.height, header.width, 3) else None


def _pillow(data: bytes, header: Header) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = PIL.Image.open(io.BytesIO(data), formats=FORMATS)
            picture.load()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise anything on damaged data
        raise _failure(str(error), data) from None
    if picture.mode.startswith("I;16"):
        return np.repeat((np.asarray(picture) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if picture.mode in ("I", "F"):
        raise ItemError(
            "decode", "unsupported", "32-bit grey has no agreed black and white; convert it to 8 or 16 bits"
        )
    pixels = np.array(picture.convert("RGB"))
    if pixels.shape != (header.height, header.width, 3):
        raise ItemError(
            "decode",
            "corrupt",
            f"the header says {header.width} x {header.height} pixels, the data has "
            f"{pixels.shape[1]} x {pixels.shape[0]}",
        )
    return pixels


def _is_padding(reason: str, data: bytes) -> bool:
    """Whether the only complaint is about filler in front of the end marker, which some cameras write."""
    found = _PADDING.search(reason)
    if found is None:
        return False
    end = data.rfind(b"\xff\xd9")
    return end > 0 and set(data[end - int(found[1]) : end]) <= {0x00, 0xFF}


def _failure(reason: str, data: bytes) -> ItemError:
    cut_jpeg = data.startswith(b"\xff\xd8") and b"\xff\xd9" not in data
    cut = cut_jpeg or any(text in reason.lower() for text in _TRUNCATED)
    text = (reason.splitlines() or ["the data cannot be decoded"])[0][:300]
    return ItemError("decode", "truncated" if cut else "corrupt", text)
