"""What people did stays when predictions change: the rules of loading a sample again."""

from __future__ import annotations

import numpy as np

from annotator.review.documents import Document
from annotator.review.fields import DECISION, LISTS, TRUTH
from annotator.review.lines import line_in_doubt
from annotator.review.mirror import dragged
from annotator.review.nobody import is_of_nobody
from annotator.review.tags import renewed
from annotator.store.person_ids import is_added
from annotator.store.reviews import ACCEPTED

# Pixels: a joint that moved no further looks the same. Another card or number of threads rounds otherwise.
_NEAR = 0.5


def kept(old: Document, new: Document) -> Document:
    """The fields to set on a sample that is there already.

    Decisions and set visibilities move to the new keypoints of the same person, tags to its new labels, and
    vertices that somebody dragged stay where they were left, as do people whom somebody added. Where the new
    prediction looks other than the one that was decided on, the person is marked `stale`; a decided person
    that is no longer predicted stays, marked `gone`. A ground truth of before goes where there is none now.

    Args:
        old: the sample as it is in the database, whole. new: from `documents.documents`.
    """
    changes = {name: value for name, value in new.items() if name not in ("_id", "tags")}
    changes |= {name: None for name in TRUTH if name in old and name not in new}
    changes["tags"] = renewed(old.get("tags") or (), new["tags"])
    before = {label["_id"]: label for label in _labels(old, "keypoints") if not _is_kept(label)}
    lines_before, boxes_before = _by_person(old, "poses"), _by_person(old, "people")
    keypoints = [dict(label) for label in new["keypoints"]["keypoints"]]
    lines_new, poses = _by_person(new, "poses"), []
    boxes = list(new["people"]["detections"])
    for place, label in enumerate(keypoints):
        was = before.pop(label["_id"], None)
        drawn = lines_new.get(label["person"])
        if was is None:
            poses += [drawn] if drawn is not None else []
            continue
        line, box = lines_before.get(label["person"]), boxes_before.get(label["person"])
        touched = line is not None and _touched(line)
        if drawn is None and (touched or was.get("decision") == ACCEPTED):
            drawn = line_in_doubt(new["_id"], label)
        poses += [_redrawn(line, drawn)] if drawn is not None else []
        boxes[place] = _tagged_as(box, boxes[place])
        label["tags"] = was.get("tags") or []
        label |= {name: was[name] for name in DECISION if was.get(name) is not None}
        if touched or _decided(was):
            size = (new["metadata"]["width"], new["metadata"]["height"])
            if was.get("stale") or not alike(was, label, size):
                label["stale"] = True
        keypoints[place] = label
    for was in before.values():
        line, box = lines_before.get(was["person"]), boxes_before.get(was["person"])
        if _decided(was) or (line is not None and _touched(line)):
            keypoints.append(was | {"gone": True})
            # Either may have been deleted in the App.
            poses += [line] if line is not None else []
            boxes += [box] if box is not None else []
    # Somebody drew or added them: no prediction renews them.
    for name, labels in (("keypoints", keypoints), ("poses", poses), ("people", boxes)):
        labels += filter(_is_kept, _labels(old, name))
    changes["keypoints"] = {"_cls": "Keypoints", "keypoints": keypoints}
    changes["poses"] = {"_cls": "Polylines", "polylines": poses}
    changes["people"] = {"_cls": "Detections", "detections": boxes}
    return changes


def alike(one: Document, other: Document, size: tuple[int, int]) -> bool:
    """Whether two predictions of a person look the same: v is equal, joints are half a pixel apart at most.

    Args:
        one, other: `points` (K, 2) in fractions of the image, NaN where v = 0; `visible` (K,), v of COCO.
        size: (width, height) of the image.
    """
    if not np.array_equal(one["visible"], other["visible"]):
        return False
    pixels = [np.array(label["points"], np.float64) * size for label in (one, other)]
    return np.allclose(*pixels, rtol=0, atol=_NEAR, equal_nan=True)


def _is_kept(label: Document) -> bool:
    """Whether it is of nobody predicted."""
    return is_of_nobody(label) or is_added(label["person"])


def _decided(label: Document) -> bool:
    return label.get("decided_at") is not None or label.get("visible_set") is not None


def _tagged_as(was: Document | None, label: Document) -> Document:
    return label | {"tags": (was or {}).get("tags") or []}


def _touched(line: Document) -> bool:
    return line["points"] != line["drawn"]


def _redrawn(line: Document | None, new: Document) -> Document:
    """The line of a new prediction, with the vertices that somebody dragged where they were left.

    A line that has lost vertices or got more stays as it is: nobody knows which joint is which.
    """
    if line is None or not _touched(line):
        return _tagged_as(line, new)
    if [len(chain) for chain in line["points"]] != [len(chain) for chain in new["points"]]:
        return line
    chains = zip(line["points"], line["drawn"], new["points"], strict=True)
    points = [np.where(dragged(now, was)[:, None], now, anew).tolist() for now, was, anew in chains]
    return line | {"points": points, "drawn": new["drawn"]}


def _labels(document: Document, name: str) -> list[Document]:
    """The labels of a sample's people, skeletons or lines; somebody may have emptied the field."""
    return (document.get(name) or {}).get(LISTS[name]) or []


def _by_person(document: Document, name: str) -> dict[int, Document]:
    return {label["person"]: label for label in _labels(document, name) if not is_of_nobody(label)}
