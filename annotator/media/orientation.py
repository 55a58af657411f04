"""EXIF orientation: found in a file, applied to pixels."""

from __future__ import annotations

import cv2
import numpy as np
import PIL.Image

_TAG = 0x0112
_PNG_SIGNATURE = 8


def exif_orientation(exif: bytes) -> int:
    """Orientation 1 to 8 from an EXIF block; 1 where it says nothing sensible."""
    if not exif:
        return 1
    block = PIL.Image.Exif()
    try:
        block.load(exif)
        value = block.get(_TAG, 1)
    except Exception:  # noqa: BLE001 - damaged EXIF costs the orientation, not the picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def png_orientation(data: bytes) -> int:
    """Orientation of a PNG from its eXIf chunk, which may also stand behind the pixels."""
    place = _PNG_SIGNATURE
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] == b"eXIf":
            return exif_orientation(data[place + 8 : place + 8 + length])
        place += 12 + length
    return 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored pixels upright; EXIF 2.3, table for tag 0x0112.

    Args:
        pixels: (H, W, 3) uint8 as stored.
        orientation: 1 to 8.

    Returns:
        (H, W, 3), or (W, H, 3) for orientations 5 to 8.
    """
    if orientation in (5, 7):
        pixels = cv2.transpose(pixels)
        return pixels if orientation == 5 else cv2.rotate(pixels, cv2.ROTATE_180)
    turns = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
    if orientation in turns:
        return cv2.rotate(pixels, turns[orientation])
    flips = {2: 1, 4: 0}
    return cv2.flip(pixels, flips[orientation]) if orientation in flips else pixels
