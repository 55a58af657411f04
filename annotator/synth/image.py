"""One picture by seed and index, and an endless, constant-memory stream of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from annotator.synth.annotations import to_coco
from annotator.synth.exposure import expose
from annotator.synth.render import render
from annotator.synth.scene import sample_scene
from annotator.synth.seeds import IMAGES, generator
from annotator.synth.visibility import annotate


def generate_image(
    seed: int, index: int, size: tuple[int, int] = (640, 480), people: int | None = None
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Picture number `index` of the collection `seed`.

    Args:
        seed: a non-negative number; another seed is another collection.
        index: which picture; any picture can be made without the others.
        size: width, height in pixels.
        people: how many people are in the scene; None draws it (5% of pictures have nobody).

    Returns:
        (H, W, 3) uint8 RGB, and COCO annotations without `id` and `image_id`: `bbox`, `area`, `keypoints`
        (51 numbers), `num_keypoints`, `segmentation` (RLE), `iscrowd`, `category_id`, and `pose`.
    """
    rng = generator(seed, IMAGES, index)
    scene = sample_scene(rng, *size, people=people)
    frame = render(scene)
    return expose(rng, frame.pixels), [to_coco(truth) for truth in annotate(scene, frame)]


def stream(
    seed: int,
    start: int = 0,
    count: int | None = None,
    size: tuple[int, int] = (640, 480),
    quick: bool = False,
) -> Iterator[tuple[int, np.ndarray, list[dict[str, Any]]]]:
    """Lazily yield (index, pixels, annotations) from `start`, `count` times or for ever.

    `quick` pastes a small stock of drawn people on backgrounds: hundreds of small pictures a second, with
    true boxes, masks and joints but little variety. Use it for load, not for training.
    """
    if quick:
        from annotator.synth.quick import quick_image as make
    else:
        make = generate_image
    index = start
    while count is None or index < start + count:
        pixels, annotations = make(seed, index, size)
        yield index, pixels, annotations
        index += 1
