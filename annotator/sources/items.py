"""One input of a run, as the plan knows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GivenBox:
    """A person box that came with the input and is used as it is.

    Attributes:
        bbox: (x, y, w, h) float64, pixels of the upright image.
        score: of the detector that made it; None for an annotation.
    """

    bbox: tuple[float, float, float, float]
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One input.

    Attributes:
        index: place in the plan, from 0.
        image_id: COCO's own id for COCO input, else a stable 53-bit hash of the URI.
        uri: absolute local path, or a file:// URI where a path is not valid UTF-8.
        file_name: path with forward slashes, relative to the input it came from; unique in the plan.
        shard: number of its shard; a shard's items are neighbours.
        boxes: None when no boxes were given; () when boxes were given and this image has none.
    """

    index: int
    image_id: int
    uri: str
    file_name: str
    shard: int
    boxes: tuple[GivenBox, ...] | None = None
