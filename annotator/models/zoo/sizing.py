"""What a model costs in a run: its arithmetic, its memory on a GPU, and the batches that fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from annotator.models.zoo.cards import Card
from annotator.models.zoo.goals import Plan

# Milliseconds a crop, fp32, measured on two cores of an AMD EPYC with AVX-512, in batches of 8.
CPU_MS = {"vitpose-h": 1452, "hrnet-w48-udp": 245, "rtmpose-m": 15.5}

GIB = 2**30
# Context of CUDA, its libraries, and slack of torch's allocator.
OVERHEAD = 1.5 * GIB
# Sizes to try; the first are the defaults of a run.
BATCH_PEOPLE = (32, 16, 8, 4, 1)
BATCH_IMAGES = (16, 8, 4, 1)


@dataclass(frozen=True)
class Choice:
    """A model with what it costs.

    Attributes:
        card: the model.
        batch_people: crops in one pass; None for whole-image models.
        batch_images: images in one pass, of the detector or of a whole-image model.
        memory: estimated bytes of GPU memory, float32, detector included; None where the cost is unknown.
        gmacs: of one crop or image, flip test and attention included; None likewise.
        fits: whether `memory` is within the limit, or there is none.
    """

    card: Card
    batch_people: int | None
    batch_images: int
    memory: int | None
    gmacs: float | None
    fits: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return {
            **self.card.to_dict(),
            "batch_people": self.batch_people,
            "batch_images": self.batch_images,
            "memory_gib_estimated": None if self.memory is None else round(self.memory / GIB, 1),
            "gmacs_as_run": None if self.gmacs is None else round(self.gmacs, 2),
            "fits": self.fits,
            "measured_ms_two_cpu_cores": CPU_MS.get(self.card.shortest_name),
        }


def sized(model: Card, plan: Plan, detector: Card, limit: float | None) -> Choice:
    """With the largest batches that fit; where none does, the smallest, marked as not fitting."""
    whole_image = is_whole_image(model)
    flip = plan.flip and not whole_image
    found, detecting = model.cost, None if whole_image else detector.cost
    gmacs = None
    if found is not None and found.macs is not None:
        gmacs = (found.macs + (found.attention_macs or 0)) / 1e9 * (2 if flip else 1)
    people, images = None if whole_image else BATCH_PEOPLE[0], BATCH_IMAGES[0]
    if found is None or found.activations is None:
        return Choice(model, people, images, None, gmacs, limit is None)
    fixed = 4 * (found.params + (detecting.params if detecting else 0)) + OVERHEAD
    free = math.inf if limit is None else limit - fixed
    # Passes take turns, so that each has all that is free to itself.
    each = found.activations * (2 if flip else 1)
    if whole_image:
        images = _largest(BATCH_IMAGES, each, free)
        live = each * images
    else:
        people = _largest(BATCH_PEOPLE, each, free)
        each_image = (detecting.activations or 0) if detecting else 0
        images = _largest(BATCH_IMAGES, each_image, free)
        live = max(each * people, each_image * images)
    memory = int(fixed + live)
    return Choice(model, people, images, memory, gmacs, limit is None or memory <= limit)


def _largest(sizes: Sequence[int], each: int, free: float) -> int:
    """The first of falling sizes of a batch that fits at `each` bytes for one; the last if none does."""
    return next((size for size in sizes if size * each <= free), sizes[-1])


def is_whole_image(model: Card) -> bool:
    return not model.entry.paradigm.startswith("top-down")
