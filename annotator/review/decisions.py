"""What a reviewer decides about people, written onto their labels, with who, when and why."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from annotator.review.fields import DECISION, KEYPOINT_LIST, KEYPOINTS
from annotator.review.identifiers import person_of
from annotator.review.moments import now
from annotator.store.person_ids import item_of

# Why a person is rejected; the first is what the App offers first. Free text is kept as it is.
REASONS = (
    "wrong joints", "left and right exchanged", "joints of two people", "nobody there", "same person twice",
    "too small or blurred", "other",
)  # fmt: skip

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.2

REVIEWER_VARIABLE = "ANNOTATOR_REVIEWER"

# In `visible_set`: a joint whose visibility is as predicted.
UNSET = -1


def reviewer() -> str:
    """Who decides in this process: `annotator review open --reviewer NAME`, else the user of the machine."""
    import getpass

    try:
        return os.environ.get(REVIEWER_VARIABLE) or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def decide(
    dataset: Any,
    people: Iterable[int],
    decision: str | None,
    reason: str | None = None,
    by: str | None = None,
) -> int:
    """Write a decision onto people, each in one step: decision, reason, reviewer and time belong together.

    Args:
        dataset: a FiftyOne dataset that `load` made.
        people: ids of the run's rows.
        decision: `ACCEPTED`, `REJECTED` or `SENT_BACK` of `store.reviews`, or None to withdraw one.
        reason: why, for a rejection.
        by: the reviewer; None for this process's.

    Returns:
        How many people it was written onto.
    """
    values = {"decision": decision, "reason": reason, "reviewer": by or reviewer(), "decided_at": now()}
    return _set(dataset, people, values)


def set_visibility(
    dataset: Any, people: Iterable[int], joints: Sequence[int], visibility: int, by: str | None = None
) -> int:
    """Say that joints are not labelled (0), hidden (1) or visible (2), beside what was predicted.

    That is a correction: who decided about a person, and when, stays as it is, and so does what was set of
    other joints.

    Args:
        dataset, people, by: as in `decide`.
        joints: places in the skeleton.
        visibility: v of COCO.

    Returns:
        How many people it was written onto.
    """
    wanted, count = set(people), 0
    for person, was in _visible_set(dataset, wanted):
        values = [visibility if joint in joints else v for joint, v in enumerate(was)]
        stamp = {"visible_set": values, "visible_by": by or reviewer(), "visible_at": now()}
        count += _set(dataset, [person], stamp)
    return count


def people_of_labels(labels: Iterable[dict[str, Any]]) -> list[int]:
    """The predicted people that labels selected in the App belong to: box, skeleton or lines, each once."""
    found = (person_of(label["label_id"]) for label in labels)
    return list(dict.fromkeys(person for person in found if person is not None))


def people_in(view: Any) -> list[int]:
    """The predicted people of a view, as it filters them."""
    if getattr(view, "_is_patches", False):
        people = view.values(f"{KEYPOINTS}.person")
    else:
        people = [one for of_image in view.values(f"{KEYPOINT_LIST}.person") for one in of_image or ()]
    # Somebody may have added a skeleton in the App.
    return [person for person in people if person is not None]


def undecided(view: Any) -> Any:
    """The part of a view that still has people without a decision, in its own order."""
    from fiftyone import ViewField as F

    if getattr(view, "_is_patches", False):
        return view.match(~F(f"{KEYPOINTS}.decision").exists() & F(f"{KEYPOINTS}.person").exists())
    return view.filter_labels(KEYPOINTS, ~F("decision").exists() & F("person").exists())


def next_in(view: Any, current: str | None, skip: bool) -> tuple[str | None, list[dict[str, Any]]]:
    """Where a reviewer goes on: a sample of the view, and its undecided people as labels to select.

    Args:
        current: id of the sample that is open.
        skip: leave the open one behind even if somebody in it is undecided.

    Returns:
        The id, None when nobody is left, and {"label_id", "sample_id", "field"} of each undecided person.
    """
    left = undecided(view)
    place = current
    if current is None or skip or not len(left.select(current)):
        ids = left.limit(2).values("id") if not skip else left.values("id")
        if not ids:
            return None, []
        after = ids.index(current) + 1 if skip and current in ids else 0
        place = ids[after % len(ids)]
    labels = [
        {"label_id": str(label_id), "sample_id": place, "field": KEYPOINTS}
        for of_image in left.select(place).values(_label_ids(view))
        for label_id in (of_image if isinstance(of_image, list) else [of_image])
    ]
    return place, labels


def _label_ids(view: Any) -> str:
    return f"{KEYPOINTS}.id" if getattr(view, "_is_patches", False) else f"{KEYPOINT_LIST}.id"


def _set(dataset: Any, people: Iterable[int], values: dict[str, Any]) -> int:
    from fiftyone import Sample

    assert values.keys() <= DECISION.keys()
    of_image: dict[int, list[int]] = defaultdict(list)
    for person in people:
        of_image[item_of(person)].append(person)
    # Whoever judges somebody now has seen the prediction that the last load renewed.
    judged = {**values, "stale": None}
    change = {f"{KEYPOINT_LIST}.$[one].{name}": value for name, value in judged.items()}
    change["last_modified_at"] = now()
    found: dict[int, Any] = {}
    for _ in range(_ATTEMPTS):
        found, matched = _update(dataset._sample_collection, of_image, change)
        if matched == len(of_image):
            break
        # A load that renews predictions takes a sample out and puts it back.
        time.sleep(_PAUSE_SECONDS)
    # The samples that this process holds are read anew.
    Sample._reload_docs(dataset._sample_collection_name, sample_ids=[str(found[index]) for index in found])
    return sum(len(persons) for index, persons in of_image.items() if index in found)


def _update(
    collection: Any, of_image: dict[int, list[int]], change: dict[str, Any]
) -> tuple[dict[int, Any], int]:
    """Ids of the samples by place in the plan, and to how many of them the change was made."""
    from pymongo import UpdateOne

    rows = collection.find({"index": {"$in": list(of_image)}}, {"index": 1})
    found = {row["index"]: row["_id"] for row in rows}
    updates = [
        UpdateOne({"_id": found[index]}, {"$set": change}, array_filters=[{"one.person": {"$in": persons}}])
        for index, persons in of_image.items()
        if index in found
    ]
    return found, collection.bulk_write(updates, ordered=False).matched_count if updates else 0


def _visible_set(dataset: Any, people: set[int]) -> Iterable[tuple[int, list[int]]]:
    """Of each person: the visibilities set before, `UNSET` where nobody set any."""
    places = list({item_of(person) for person in people})
    wanted = {f"{KEYPOINT_LIST}.{name}": 1 for name in ("person", "visible", "visible_set")}
    for document in dataset._sample_collection.find({"index": {"$in": places}}, wanted):
        for label in (document.get(KEYPOINTS) or {}).get("keypoints") or ():
            if label.get("person") in people:
                yield label["person"], label.get("visible_set") or [UNSET] * len(label["visible"])
