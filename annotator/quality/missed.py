"""Images in which people are probably missed: what a queue of people cannot show.

Two sources: likely phantoms of the run itself, its detections below a second, lower limit; and the people
whom another run found, with another detector or a model that finds people by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotator.errors import UserError
from annotator.pose.boxes import iou_matrix, xywh_to_xyxy
from annotator.quality.shown import COLUMNS, shown
from annotator.store.reader import Run

# A box that overlaps somebody shown by this much is that person again.
_SAME_IOU = 0.5


@dataclass(frozen=True, slots=True)
class MissedImage:
    """An image in which somebody is probably missed.

    Attributes:
        image_id, file_name: of the image.
        candidates: boxes that are nobody's who is shown.
        strongest: the largest person_score among them; images are ranked by it.
    """

    image_id: int
    file_name: str
    candidates: int
    strongest: float


@dataclass(frozen=True, slots=True)
class _Boxes:
    images: np.ndarray
    corners: np.ndarray
    scores: np.ndarray
    shown: np.ndarray


def probably_missed(run: Run, other: Run | None = None) -> list[MissedImage]:
    """Images with candidates that are not shown, the strongest candidate first.

    Args:
        other: a run over the same images; its people are candidates. None: the run's own likely phantoms are.

    Raises:
        UserError: the runs have no image in common.
    """
    mine = _boxes(run)
    candidates = _boxes(other) if other is not None else mine
    offered = candidates.shown if other is not None else _own_candidates(run, mine)
    names = {}
    for batch in run.images(["image_id", "file_name"]):
        names.update(zip(batch["image_id"].to_pylist(), batch["file_name"].to_pylist(), strict=True))
    if other is not None:
        if not any(image in names for image in np.unique(candidates.images).tolist()):
            raise UserError(f"{other.place} and {run.place} have no image in common: their ids differ")
        offered = offered & np.isin(candidates.images, list(names))
    found = []
    people_of = _places(mine.images, mine.shown)
    for image, places in _places(candidates.images, offered).items():
        there = people_of.get(image, np.zeros(0, np.int64))
        overlap = iou_matrix(candidates.corners[places], mine.corners[there]).max(axis=1, initial=0)
        scores = candidates.scores[places[overlap < _SAME_IOU]]
        if len(scores):
            found.append(MissedImage(image, names[image], len(scores), float(scores.max())))
    return sorted(found, key=lambda one: (-one.strongest, one.file_name))


def _own_candidates(run: Run, boxes: _Boxes) -> np.ndarray:
    """(N,) bool: those not shown who are nobody's double."""
    parts = [np.zeros(0, bool)]
    for batch in run.instances(["duplicate_of"]):
        parts.append(batch["duplicate_of"].is_null().to_numpy(zero_copy_only=False))
    return ~boxes.shown & np.concatenate(parts)


def _boxes(run: Run) -> _Boxes:
    parts = [(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0), np.zeros(0, bool))]
    for batch in run.instances(["image_id", "bbox", "bbox_score", "person_score", *COLUMNS]):
        scores = batch["person_score"].to_numpy(zero_copy_only=False).astype(np.float64)
        scores = np.where(np.isfinite(scores), scores, batch["bbox_score"].to_numpy())
        corners = xywh_to_xyxy(batch["bbox"].flatten().to_numpy().reshape(-1, 4))
        parts.append((batch["image_id"].to_numpy(), corners, scores, shown(batch)))
    return _Boxes(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _places(images: np.ndarray, wanted: np.ndarray) -> dict[int, np.ndarray]:
    """Places of the wanted people by image."""
    chosen = np.flatnonzero(wanted)
    if not len(chosen):
        return {}
    # People of an image are neighbours in the rows: those of one image are one stretch.
    stretches = np.split(chosen, np.flatnonzero(np.diff(images[chosen])) + 1)
    return {int(images[stretch[0]]): stretch for stretch in stretches}
