"""People whom reviewers added, out of their samples and into reviews.

Nobody predicted them, so that a review says all that is known: box, joints, who added them. A template of
which nobody has placed a joint or drawn the box is no label and says nothing; whoever was pulled and is
deleted, or a template again, is taken back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from annotator.pose.boxes import box_around
from annotator.review.corrected import corrected, last_hand
from annotator.review.documents import Document
from annotator.review.fields import BOXES, KEYPOINTS, LISTS, POSES
from annotator.review.mirror import Mirror, to_pixels
from annotator.review.moments import iso
from annotator.store import reviews
from annotator.store.reviews import Review, as_float32

# Pixels to which a box that somebody drew is kept: as far as fractions of the image give it back.
_DECIMALS = 3


def of_added(
    sample: Document,
    size: tuple[int, int],
    mirror: Mirror,
    before: dict[int, list[Review]],
    unplaced: list[str],
) -> Iterator[Review]:
    """What a sample says of its added people, those who were pulled and taken out since included.

    Args:
        size: (width, height) of the image. before: earlier reviews by person, in the order of the layers.
        unplaced: gets the sample's file name for each person of whom there is nothing but the template.
    """
    boxes, labels, lines = (_by_person(sample, name) for name in (BOXES, KEYPOINTS, POSES))
    for person in sample.get("added") or ():
        earlier = before.get(person, [])
        was = reviews.merge(earlier)[person] if earlier else None
        label, line = labels.get(person), lines.get(person)
        if label is not None and line is not None:
            known = _known(label, line, boxes.get(person), size, mirror, was)
            if known is not None:
                yield from _said(sample, label, known, was, earlier)
                continue
            if was is None:
                unplaced.append(sample["file_name"])
        if was is not None and not was.deleted:
            yield Review(
                person,
                sample["image_id"],
                # Nothing says when it was deleted; of equal times the later layer counts.
                corrected_at=max(iso(sample["last_modified_at"]) or "", was.corrected_at or ""),
                flags=("deleted",),
                added_by=was.added_by,
                added_at=was.added_at,
            )


def _known(
    label: Document,
    line: Document,
    box: Document | None,
    size: tuple[int, int],
    mirror: Mirror,
    was: Review | None,
) -> dict[str, Any] | None:
    """Joints, box and flags of an added person; None of a template as it was drawn."""
    drawn = mirror.to_points(line["drawn"])
    assert drawn is not None
    row = np.column_stack([to_pixels(drawn, np.array(size)), label["visible"]])
    found = corrected(label, line, row, size, mirror)
    bbox = None
    if box is not None and box["bounding_box"] != box.get("drawn"):
        bbox = tuple(np.round(np.multiply(box["bounding_box"], np.tile(size, 2)), _DECIMALS).tolist())
    if found is None:
        place = bbox or (was.bbox if was is not None else None)
        return {"keypoints": None, "bbox": place, "flags": ("broken",)} if place else None
    keypoints = as_float32(found.xyv)
    labelled = np.reshape(keypoints, (-1, 3))[found.xyv[:, 2] > 0, :2]
    if bbox is None:
        if not len(labelled):
            return None
        bbox = tuple(box_around(labelled, size).tolist())
    flags = ("outside",) if found.outside else ()
    return {"keypoints": keypoints, "bbox": bbox, "flags": flags}


def _said(
    sample: Document,
    label: Document,
    known: dict[str, Any],
    was: Review | None,
    earlier: list[Review],
) -> Iterator[Review]:
    by, at = last_hand(label)
    now = iso(sample["last_modified_at"])
    same = [row for row in earlier if all(getattr(row, name) == value for name, value in known.items())]
    if same and not (was is not None and was.deleted and (at or "") > (was.corrected_at or "")):
        # Whoever touched the picture since then need not have touched this person.
        by, at = same[0].corrected_by, same[0].corrected_at
        if label.get("decided_at") is None:
            return
    elif at is None and known["keypoints"] is not None and not any(known["keypoints"][2::3]):
        by, at = label["added_by"], iso(label["added_at"])
    elif at is None or any(row.corrected_at == at for row in earlier):
        # Scripts do not sign, nor does whoever moves a box.
        at = now
    yield Review(
        instance_id=label["person"],
        image_id=sample["image_id"],
        decision=label.get("decision"),
        reason=label.get("reason"),
        reviewer=label.get("reviewer"),
        time=iso(label.get("decided_at")),
        corrected_by=by,
        corrected_at=at,
        added_by=label.get("added_by"),
        added_at=iso(label.get("added_at")),
        **known,
    )


def _by_person(sample: Document, name: str) -> dict[int, Document]:
    return {label.get("person"): label for label in (sample.get(name) or {}).get(LISTS[name]) or ()}
