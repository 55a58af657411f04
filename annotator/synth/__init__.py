"""People made to order: pictures and films of synthetic people with exact COCO ground truth.

Everything from body to JPEG belongs here; nothing here knows models, runs or rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from annotator.synth.image import generate_image, stream

__all__ = ["generate_image", "stream"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from annotator.synth import image

        return getattr(image, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
