"""People whom the detector missed: reviewers add them in the App, and a load brings them back from layers.

Such a person has box, skeleton and line like everybody else, drawn from a template whose joints all have
v = 0: one counts when somebody has placed it. A sample's `added` names them, also those whose line was since
deleted.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from bson import ObjectId

from annotator.errors import UserError
from annotator.pose.boxes import box_around
from annotator.pose.standing import standing_in
from annotator.review.corrected import last_hand
from annotator.review.decisions import reviewer
from annotator.review.documents import Document, label_of, line_of
from annotator.review.fields import BOXES, KEYPOINTS, LISTS, MISSED, POSES, skeleton_of
from annotator.review.identifiers import Identifiers, Kind
from annotator.review.layout import LAYOUT
from annotator.review.mirror import mirror_of, to_fractions
from annotator.review.moments import now
from annotator.review.nobody import is_of_nobody
from annotator.review.one_sample import change_sample, size_of
from annotator.skeletons import Skeleton
from annotator.store.person_ids import added_id, item_of
from annotator.store.reviews import Review


def add_people(dataset: Any, sample_id: str, by: str | None = None) -> list[int]:
    """Add a person to a picture for each box in it that belongs to nobody, else one in a free place.

    Args:
        dataset: a FiftyOne dataset that `load` made. sample_id: of the picture.
        by: the reviewer; None for this process's.

    Returns:
        Their ids.

    Raises:
        UserError: an earlier version loaded the dataset, the picture is none of the run's, or has no result.
    """
    if (dataset.info.get("annotator") or {}).get("layout") != LAYOUT:
        raise UserError("an earlier version loaded this review: `annotator review load` renews it")
    stamp = {"added_by": by or reviewer(), "added_at": now()}
    change = partial(_with_new, skeleton=skeleton_of(dataset), stamp=stamp)
    added = change_sample(dataset, {"_id": ObjectId(sample_id)}, change)
    if added is None:
        raise UserError("this picture changes again and again, or is gone; try once more")
    return added


def bring_back(dataset: Any, reviews: Iterable[Review], skeleton: Skeleton) -> int:
    """Put people whom layers know into samples that never had them, and take out those who were taken back.

    Samples stay untouched for the next pull, and lines that were dragged since stay where they are. Those
    whose line cannot be read stay away: it can be mended where it was broken.

    Args:
        reviews: of added people, merged, also of those who were taken back.

    Returns:
        How many people were put in.
    """
    of_item: dict[int, list[Review]] = defaultdict(list)
    for review in reviews:
        of_item[item_of(review.instance_id)].append(review)
    there = dataset._sample_collection.find({"index": {"$in": list(of_item)}}, {"index": 1})
    count = 0
    for index in [sample["index"] for sample in there]:
        change = partial(_with_known, people=of_item[index], skeleton=skeleton)
        count += len(change_sample(dataset, {"index": index}, change) or ())
    return count


def free_place(others: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A box for somebody who stands half as high as the image: in the middle, or where others overlap less.

    Args:
        others: (N, 4) boxes [x, y, w, h] in the image. size: (width, height) of the image, pixels.

    Returns:
        (4,) float64; this and `others` are in fractions of the image.
    """
    width, height = size
    side = np.array([min(0.5, 0.2 * height / width), 0.5])
    middle = np.array([0.5, 0.25, 0.75])
    corners = np.array([(x, y) for y in middle for x in middle]) - side / 2
    low = np.maximum(corners[:, None], others[None, :, :2])
    high = np.minimum(corners[:, None] + side, others[None, :, :2] + others[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(axis=2).sum(axis=1)
    return np.concatenate([corners[overlap.argmin()], side])


def _with_new(sample: Document, skeleton: Skeleton, stamp: Document) -> Document:
    """A sample with somebody in each box of nobody, or with somebody in a free place."""
    size = size_of(sample)
    nobodys = [*filter(is_of_nobody, sample[BOXES]), *sample[MISSED]]
    drawn = [_clipped(label["bounding_box"]) for label in nobodys]
    others = np.array([label["bounding_box"] for label in sample[BOXES]]).reshape(-1, 4)
    sample[BOXES] = [label for label in sample[BOXES] if not is_of_nobody(label)]
    sample[MISSED] = []
    hers = [np.array(box) for box in drawn if box is not None]
    for box in hers or [free_place(others, size)]:
        person = added_id(sample["index"], sample["added"])
        joints = np.column_stack([standing_in(box, skeleton), np.zeros(len(skeleton))])
        _append(sample, person, joints, box, bool(hers), stamp, skeleton)
    return sample | {"last_modified_at": stamp["added_at"]}


def _with_known(sample: Document, people: list[Review], skeleton: Skeleton) -> Document | None:
    """A sample with whom layers know of it, and without those who were taken back; None: it is so already."""
    if sample["metadata"] is None:
        return None
    gone = {review.instance_id for review in people if review.deleted and _is_older(sample, review)}
    gone &= set(sample["added"])
    new = [
        review
        for review in people
        if review.keypoints is not None and review.instance_id not in sample["added"]
    ]
    if not gone and not new:
        return None
    sample["added"] = [person for person in sample["added"] if person not in gone]
    for name in LISTS:
        sample[name] = [label for label in sample[name] if label.get("person") not in gone]
    for review in new:
        _append_review(sample, review, skeleton)
    return sample


def _append_review(sample: Document, review: Review, skeleton: Skeleton) -> None:
    assert review.keypoints is not None and review.bbox is not None and review.added_at is not None
    size = np.array(size_of(sample))
    xyv = np.array(review.keypoints).reshape(-1, 3)
    joints = np.column_stack([to_fractions(xyv[:, :2], size), xyv[:, 2]])
    labelled = xyv[xyv[:, 2] > 0, :2]
    by_hand = not len(labelled) or tuple(box_around(labelled, size_of(sample))) != review.bbox
    moment = datetime.datetime.fromisoformat(review.added_at).replace(tzinfo=None)
    stamp = {"added_by": review.added_by, "added_at": moment}
    box = np.array(review.bbox) / np.tile(size, 2)
    _append(sample, review.instance_id, joints, box, by_hand, stamp, skeleton)


def _append(
    sample: Document,
    person: int,
    joints: np.ndarray,
    box: np.ndarray,
    by_hand: bool,
    stamp: Document,
    skeleton: Skeleton,
) -> None:
    """Put a person's labels into a sample as `_change` gives it.

    Args:
        joints: (K, 3) x, y in fractions of the image, v. box: (4,) in fractions.
        by_hand: somebody drew the box; else it is where the joints are, and goes with them.
    """
    # Its first bytes are those of the run.
    identifiers = Identifiers(sample["_id"].binary)
    shared = {
        "instance": {"_id": identifiers.of(Kind.INSTANCE, person), "_cls": "Instance"},
        "person": person,
    }
    place = [float(side) for side in box]
    labelled = np.where(joints[:, 2:] > 0, joints[:, :2], np.nan).tolist()
    lines = mirror_of(skeleton).to_lines(joints[:, :2])
    sample[BOXES].append(
        label_of(identifiers.of(Kind.BOX, person), "Detection", shared)
        | {"bounding_box": place, "drawn": None if by_hand else place}
    )
    sample[KEYPOINTS].append(
        label_of(identifiers.of(Kind.KEYPOINTS, person), "Keypoint", shared)
        | {"points": labelled, "visible": joints[:, 2].astype(int).tolist(), "needs_review": True}
        | stamp
    )
    sample[POSES].append(line_of(identifiers, person, shared, lines))
    sample["added"].append(person)


def _is_older(sample: Document, review: Review) -> bool:
    """Whether nobody has touched a person's joints in this database since `review`."""
    labels = [label for label in sample[KEYPOINTS] if label.get("person") == review.instance_id]
    lines = [line for line in sample[POSES] if line.get("person") == review.instance_id]
    return not lines or all((last_hand(label)[1] or "") <= (review.corrected_at or "") for label in labels)


def _clipped(box: list[float]) -> list[float] | None:
    """A box in the image, in fractions of it; None where nothing of it is."""
    low = np.clip(box[:2], 0, 1)
    high = np.clip(np.add(box[:2], box[2:]), 0, 1)
    return [*low.tolist(), *(high - low).tolist()] if (high > low).all() else None
