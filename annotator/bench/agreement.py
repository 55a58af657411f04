"""Whether two sides say the same: boxes matched, keypoints compared in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from annotator.bench.photos import Photo
from annotator.bench.sides import People
from annotator.media.image import ImageLimits, read_image
from annotator.models.engines.outputs import tensors
from annotator.models.topdown import TopDown
from annotator.parity.pictures import Picture, made_boxes
from annotator.parity.reference import Reference
from annotator.parity.topdown import relative

# Scores of equal boxes differ by up to 1e-5 between torch and ONNX Runtime.
_SCORE_ROUNDING = 1e-4


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two sides lie apart.

    Attributes:
        people: found by both, with equal boxes.
        alone: found by one side only, and not for rounding.
        median, p99, p999: percentiles of the distance of a keypoint, pixels of the photo; 0 without people.
        on_threshold: found by one side only, its box score so close to the threshold that rounding decided.
    """

    people: int
    alone: int
    median: float
    p99: float
    p999: float
    on_threshold: int = 0


def compare(
    ours: Sequence[People],
    theirs: Sequence[People],
    threshold: float | None = None,
    same_box: float = 0.5,
) -> Agreement:
    """Compare what two sides found in the same photos.

    Args:
        threshold: box score from which both sides take a box; None: boxes were given.
        same_box: sides of a box may differ by so many pixels.
    """
    distances: list[np.ndarray] = [np.zeros(0)]
    lone: list[float] = []
    for a, b in zip(ours, theirs, strict=True):
        free = list(range(len(b.boxes)))
        for box, keypoints, score in zip(a.boxes, a.keypoints, a.scores, strict=True):
            apart = [float(np.abs(box - b.boxes[j]).max()) for j in free]
            if not apart or min(apart) > same_box:
                lone.append(score)
                continue
            j = free.pop(int(np.argmin(apart)))
            distances.append(np.linalg.norm(keypoints - b.keypoints[j], axis=-1))
        lone += [b.scores[j] for j in free]
    rounded = 0 if threshold is None else sum(abs(score - threshold) <= _SCORE_ROUNDING for score in lone)
    all_ = np.concatenate(distances)
    percentiles = np.percentile(all_, [50, 99, 99.9]) if len(all_) else np.zeros(3)
    median, p99, p999 = (float(value) for value in percentiles)
    return Agreement(len(distances) - 1, len(lone) - rounded, median, p99, p999, rounded)


def outputs_apart(ours: TopDown, theirs: Reference, photos: Sequence[Photo]) -> float:
    """The largest difference of the two networks' raw outputs for the same crops, as a share of the largest.

    Args:
        photos: with their boxes, or two made-up ones each.
    """
    pictures = []
    for photo in photos:
        pixels = read_image(photo.path, ImageLimits()).pixels
        boxes = made_boxes(pixels.shape[:2], 2, 0) if photo.boxes is None else photo.boxes
        pictures.append(Picture(pixels, boxes))
    packed = theirs.packed(pictures)
    crops = torch.stack([one["inputs"] for one in packed]).permute(0, 2, 3, 1).flip(-1).contiguous()
    found, expected = tensors(ours.engine(crops)), tensors(theirs.raw_outputs(packed))
    return max(relative(a.float(), b) for a, b in zip(found, expected, strict=True))
