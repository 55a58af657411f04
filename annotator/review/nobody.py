"""Labels that people drew in the App: they belong to nobody, so that no pull brings them back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from annotator.review.fields import BOX_LIST, KEYPOINT_LIST, MISSED_LIST, POSE_LIST

_LISTS = (BOX_LIST, KEYPOINT_LIST, POSE_LIST, MISSED_LIST)


@dataclass(frozen=True, slots=True)
class OfNobody:
    """What was drawn in the App.

    Attributes:
        labels: boxes, skeletons and lines together. pictures: file names of those that they are in.
    """

    labels: int
    pictures: tuple[str, ...]


def labels_of_nobody(collection: Any, changed: dict[str, Any]) -> OfNobody:
    """The labels without a person, in pictures of the run.

    Args:
        collection: the samples of a dataset. changed: a filter for those that people touched.
    """
    added = {**changed, "$or": [{path: {"$elemMatch": {"person": None}}} for path in _LISTS]}
    labels, pictures = 0, []
    wanted = {"file_name": 1, "filepath": 1} | {f"{path}.person": 1 for path in _LISTS}
    for sample in collection.find(added, wanted).sort("index", 1):
        labels += sum(is_of_nobody(label) for path in _LISTS for label in _at(sample, path))
        pictures.append(sample.get("file_name") or sample["filepath"])
    return OfNobody(labels, tuple(pictures))


def is_of_nobody(label: dict[str, Any]) -> bool:
    """Whether a label was drawn in the App."""
    return label.get("person") is None


def _at(sample: dict[str, Any], path: str) -> list[dict[str, Any]]:
    field, inner = path.split(".")
    return (sample.get(field) or {}).get(inner) or []
