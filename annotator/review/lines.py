"""Lines of people in doubt: those whom somebody accepts have one, so that Annotate is not full of nobody.

No view can leave lines out (`views`), so that nobody in doubt has one until then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Any

from bson import ObjectId

from annotator.review.documents import Document, line_of
from annotator.review.fields import KEYPOINTS, LINE, POSES
from annotator.review.identifiers import Identifiers
from annotator.review.moments import now
from annotator.review.one_sample import change_sample
from annotator.store.person_ids import item_of


def draw(dataset: Any, people: Iterable[int]) -> None:
    """Give people in doubt the lines by which their joints are corrected; all others have theirs."""
    of_item: dict[int, set[int]] = defaultdict(set)
    for person in people:
        of_item[item_of(person)].add(person)
    in_doubt = {"index": {"$in": list(of_item)}, f"{KEYPOINTS}.keypoints.{LINE}": {"$exists": True}}
    for sample in list(dataset._sample_collection.find(in_doubt, {"index": 1})):
        index = sample["index"]
        change_sample(dataset, {"index": index}, partial(_with_lines, people=of_item[index]))


def line_in_doubt(sample_id: ObjectId, label: Document) -> Document:
    """The line of somebody in doubt, from her keypoints."""
    shared = {name: label[name] for name in ("instance", "person")}
    # Its first bytes are those of the run.
    return line_of(Identifiers(sample_id.binary), label["person"], shared, label[LINE])


def _with_lines(sample: Document, people: set[int]) -> Document | None:
    there = {line.get("person") for line in sample[POSES]}
    new = [
        line_in_doubt(sample["_id"], label)
        for label in sample[KEYPOINTS]
        if label.get("person") in people - there and label.get(LINE)
    ]
    if not new:
        return None
    sample[POSES] += new
    return sample | {"last_modified_at": now()}
