"""What a picture says about itself, read without decoding it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import BinaryIO

import PIL.Image
import pillow_heif

from annotator.errors import ItemError

pillow_heif.register_heif_opener()
# Our own limit stands before every decoder; Pillow's would refuse what that allows.
PIL.Image.MAX_IMAGE_PIXELS = None

# Pillow would also run a PostScript interpreter or take a camera's raw file for its thumbnail.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")

# Formats whose decoders apply the orientation themselves, Pillow's and OpenCV's alike.
_UPRIGHT = ("TIFF", "HEIF")

_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\0\x0cjP": "JPEG 2000",
}
_NEW_SUBFILE_TYPE, _DNG_VERSION = 254, 50706

# Peak bytes a pixel while decoding, the result included, JPEG apart; measured at 24 megapixels, rounded up.
_BYTES_A_PIXEL = {"JPEG2000": 17, "TIFF": 15, "AVIF": 18, "HEIF": 15}
_OTHER_BYTES_A_PIXEL = 9


@dataclass(frozen=True, slots=True)
class Header:
    """What is known before decoding.

    Attributes:
        format: Pillow's name of it; "MPO" is a JPEG with further pictures behind it.
        mode: Pillow's name of the pixel type.
        width, height: as stored, before any rotation that `upright` does not cover, in pixels.
        exif: the EXIF block, or b"".
        upright: the decoders turn this format upright themselves, and width and height are of the upright
            picture.
        progressive: a JPEG whose coefficients are all in memory while it is decoded.
    """

    format: str
    mode: str
    width: int
    height: int
    exif: bytes
    upright: bool
    progressive: bool

    def memory(self, factor: int) -> int:
        """Bytes that decoding at 1/factor takes at its peak, the result included."""
        pixels = self.width * self.height
        if self.format not in ("JPEG", "MPO"):
            return pixels * _BYTES_A_PIXEL.get(self.format, _OTHER_BYTES_A_PIXEL)
        if self.mode == "CMYK":
            return pixels * 8
        result = pixels * 3 // factor**2
        # Turning upright needs the pixels twice; 4:4:4 has 3 coefficients of 2 bytes a pixel.
        return result * (2 if self.exif else 1) + (6 * pixels if self.progressive else 0)


def read_header(file: BinaryIO) -> Header:
    """Read the header of an open file.

    Raises:
        ItemError: stage "decode", kind not_an_image, corrupt or unsupported.
    """
    start = file.read(32)
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = PIL.Image.open(file, formats=FORMATS)
            exif = picture.info.get("exif") or b""
            header = Header(
                format=picture.format or "",
                mode=picture.mode,
                width=picture.width,
                height=picture.height,
                exif=exif if isinstance(exif, bytes) else b"",
                upright=picture.format in _UPRIGHT,
                progressive=bool(picture.info.get("progressive")),
            )
            raw = picture.format == "TIFF" and _is_raw(picture, start)
    except Exception as error:  # noqa: BLE001 - Pillow's parsers raise anything on damaged headers
        raise _unreadable(start, error) from None
    if raw:
        raise ItemError(
            "decode", "unsupported", "a camera's raw file; develop it to a JPEG, PNG or TIFF first"
        )
    return header


def _is_raw(picture: PIL.Image.Image, start: bytes) -> bool:
    tags = getattr(picture, "tag_v2", {})
    return start[8:10] == b"CR" or _DNG_VERSION in tags or bool(tags.get(_NEW_SUBFILE_TYPE, 0) & 1)


def _unreadable(start: bytes, error: Exception) -> ItemError:
    kind = _claims(start)
    if kind is None:
        known = ", ".join(name for name in FORMATS if name != "DIB")
        return ItemError("decode", "not_an_image", f"not a picture of a known format ({known})")
    if isinstance(error, PIL.UnidentifiedImageError):
        return ItemError("decode", "corrupt", f"begins like {kind}, but its header cannot be read")
    return ItemError("decode", "corrupt", f"the header of this {kind} cannot be read: {error}")


def _claims(start: bytes) -> str | None:
    """The format that the first bytes announce."""
    for magic, name in _MAGIC.items():
        if start.startswith(magic):
            return name
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        brand = start[8:12]
        if brand in (b"avif", b"avis"):
            return "AVIF"
        if brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"):
            return "HEIF"
    return None
