"""One sample of a dataset, changed in one step while the App, a load or a colleague may change it too."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from annotator.errors import UserError
from annotator.review.documents import Document
from annotator.review.fields import LISTS, MISSED

# Of a sample: labels of people, and boxes that are nobody's yet.
_ALL = LISTS | {MISSED: "detections"}

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.2


def change_sample(
    dataset: Any, match: Document, change: Callable[[Document], Document | None]
) -> list[int] | None:
    """Change one sample in one step.

    Args:
        change: gets `_id`, index, metadata, the labels of people as lists, and `added`; gives them as they
            are to be, or None to leave all as it is.

    Returns:
        Ids of the people who were added to it; None where nothing was changed.
    """
    from fiftyone import Sample

    collection = dataset._sample_collection
    for _ in range(_ATTEMPTS):
        sample = collection.find_one(match)
        if sample is None:
            # A load that renews predictions takes a sample out and puts it back.
            time.sleep(_PAUSE_SECONDS)
            continue
        before = list(sample.get("added") or ())
        lists = {name: list((sample.get(name) or {}).get(inner) or ()) for name, inner in _ALL.items()}
        about = {name: sample.get(name) for name in ("_id", "index", "metadata", "last_modified_at")}
        new = change(about | lists | {"added": before.copy()})
        if new is None:
            return None
        values = {name: new[name] for name in ("added", "last_modified_at")}
        values |= {name: {"_cls": inner.capitalize(), inner: new[name]} for name, inner in _ALL.items()}
        same = {name: sample[name] for name in ("_id", "last_modified_at")}
        if collection.update_one(same, {"$set": values}).matched_count:
            # The samples that this process holds are read anew.
            Sample._reload_docs(dataset._sample_collection_name, sample_ids=[str(sample["_id"])])
            return [person for person in new["added"] if person not in before]
    return None


def size_of(sample: Document) -> tuple[int, int]:
    """(width, height) of the picture, pixels.

    Raises:
        UserError: it has no result, or is none of the run's.
    """
    if sample.get("index") is None or sample["metadata"] is None:
        raise UserError("this picture has no result, or is none of the run's: nobody can be added to it")
    return sample["metadata"]["width"], sample["metadata"]["height"]
