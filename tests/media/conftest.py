"""Pictures made for the tests: smooth and large enough that every decoder has something to disagree about."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import PIL.Image
import pillow_heif
import pytest

pillow_heif.register_heif_opener()

Save = Callable[..., bytes]


@pytest.fixture(scope="session")
def picture() -> PIL.Image.Image:
    """A 96 x 64 RGB picture without any symmetry."""
    y, x = np.mgrid[:64, :96]
    pixels = np.stack([x * 2.5, y * 3.5, 127 + 100 * np.sin(x / 9) * np.cos(y / 7)], axis=-1)
    return PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def encode() -> Save:
    """encode(picture, format, **options) -> bytes."""

    def save(picture: PIL.Image.Image, form: str, **options) -> bytes:
        buffer = io.BytesIO()
        picture.save(buffer, form, **options)
        return buffer.getvalue()

    return save
