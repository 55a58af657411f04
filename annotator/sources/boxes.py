"""Person boxes given with the input: read from COCO files and matched to the images of a plan."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from annotator.errors import UserError
from annotator.sources.coco_json import integer_id, load_coco, records
from annotator.sources.listing import BLOCK_ROWS, Listing
from annotator.sources.notes import Notes
from annotator.uris import local_path

PERSON_CATEGORY = 1


@dataclass(frozen=True, slots=True)
class BoxFile:
    """The person boxes of a COCO file, sorted by image, in the file's order within an image.

    Attributes:
        path: of the file.
        image_ids: (N,) int64.
        bboxes: (N, 4) float64, [x, y, w, h] in pixels of the upright image.
        scores: (N,) float64, NaN where there is none.
        names: file name -> image id; None for a results list, which has no names.
    """

    path: str
    image_ids: np.ndarray
    bboxes: np.ndarray
    scores: np.ndarray
    names: dict[str, int] | None


@dataclass(frozen=True, slots=True)
class MatchedBoxes:
    """Boxes by row of a plan: row i has `bboxes[offsets[i]:offsets[i + 1]]`.

    Attributes:
        offsets: (rows + 1,) int64.
        bboxes: (N, 4) float64, [x, y, w, h].
        scores: (N,) float64, NaN where there is none.
    """

    offsets: np.ndarray
    bboxes: np.ndarray
    scores: np.ndarray

    def column(self, start: int, stop: int, kind: pa.DataType) -> pa.Array:
        """The boxes of some rows as list<struct<bbox, score>>."""
        low, high = self.offsets[start], self.offsets[stop]
        item = kind.value_type
        bbox = pa.ListArray.from_arrays(
            np.arange(0, 4 * (high - low) + 1, 4, dtype=np.int32),
            pa.array(self.bboxes[low:high].ravel()),
            type=item.field("bbox").type,
        )
        scores = self.scores[low:high]
        structs = pa.StructArray.from_arrays(
            [bbox, pa.array(scores, mask=np.isnan(scores))], fields=list(item.fields)
        )
        offsets = (self.offsets[start : stop + 1] - low).astype(np.int32)
        return pa.ListArray.from_arrays(offsets, structs, type=kind)


def read_boxes(path: str, notes: Notes) -> BoxFile:
    """Person boxes of a COCO annotation file (category "person", no crowds) or results list (category 1).

    Boxes without area, or that are not finite, are left out and counted in `notes`.

    Raises:
        UserError: unreadable, malformed, or without a person category.
    """
    document = load_coco(path)
    if isinstance(document, list):
        entries, names, person = document, None, PERSON_CATEGORY
        if not all(isinstance(entry, dict) for entry in entries):
            raise UserError(f"{path}: a results list holds objects with image_id, bbox and score")
    elif isinstance(document, dict) and "annotations" in document:
        entries = records(document, "annotations", path)
        names = _names(records(document, "images", path), path) if "images" in document else None
        person = _person_category(document, path)
    else:
        raise UserError(
            f'--boxes {path}: expected a COCO file with "annotations", or a results list '
            '[{"image_id": 1, "bbox": [x, y, w, h], "score": 0.9, "category_id": 1}, ...]'
        )
    ids: list[int] = []
    boxes: list[list[float]] = []
    scores: list[float] = []
    left_out: Counter[str] = Counter()
    for place, entry in enumerate(entries):
        where = f"{path}: {'entry' if names is None else 'annotations'}[{place}]"
        if integer_id(entry.get("category_id", person), where, "a category id") != person:
            left_out["of other categories"] += 1
        elif entry.get("iscrowd"):
            left_out["of crowds"] += 1
        else:
            box = _box(entry, where)
            if not all(map(math.isfinite, box)) or box[2] <= 0 or box[3] <= 0:
                left_out["without area"] += 1
                continue
            ids.append(integer_id(entry.get("image_id"), where))
            boxes.append(box)
            scores.append(_score(entry.get("score"), where))
    for reason, count in left_out.items():
        notes.say(f"{path}: {count:,} boxes {reason} left out")
    image_ids = np.array(ids, np.int64)
    order = np.argsort(image_ids, kind="stable")
    return BoxFile(
        path,
        image_ids[order],
        np.array(boxes, np.float64).reshape(-1, 4)[order],
        np.array(scores, np.float64)[order],
        names,
    )


def _box(entry: dict[str, Any], where: str) -> list[float]:
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
        raise UserError(f"{where}: bbox is {box!r}; expected [x, y, width, height] in pixels")
    return [float(value) for value in box]


def _score(score: Any, where: str) -> float:
    if score is None:
        return math.nan
    if not _is_number(score) or not math.isfinite(score):
        raise UserError(f"{where}: score is {score!r}; expected a number")
    return float(score)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _names(images: list[dict[str, Any]], path: str) -> dict[str, int]:
    return {
        image["file_name"]: integer_id(image.get("id"), f"{path}: images[{place}]")
        for place, image in enumerate(images)
        if isinstance(image.get("file_name"), str)
    }


def _person_category(document: dict[str, Any], path: str) -> int:
    if "categories" not in document:
        return PERSON_CATEGORY
    categories = records(document, "categories", path)
    for place, category in enumerate(categories):
        if str(category.get("name", "")).lower() == "person":
            identifier = category.get("id", PERSON_CATEGORY)
            return integer_id(identifier, f"{path}: categories[{place}]", "a category id")
    found = ", ".join(str(category.get("name")) for category in categories[:10])
    raise UserError(f'--boxes {path}: no category is named "person" (found: {found or "none"})')


def match_boxes(listing: Listing, file: BoxFile, notes: Notes) -> MatchedBoxes:
    """Give each row of a listing its boxes: by image id where ids came with the input, by file name
    otherwise.

    A file name matches as a whole first (relative or absolute), then by its last part where that is
    unambiguous on both sides. What finds no partner is counted in `notes`.

    Raises:
        UserError: names are needed and the file has none, or not one box finds its image.
    """
    given = listing.given
    partners = np.full(len(listing), -1, np.int64)
    known = np.zeros(len(listing), bool)
    partners[given], known[given] = listing.image_ids[given], True
    if not given.all():
        if file.names is None:
            raise UserError(
                f"--boxes {file.path} names images by id only, and the input has no ids: "
                "give the COCO file of the pictures as INPUT, or boxes in a COCO file with its images"
            )
        for row, image_id in _by_name(listing, given, file.names):
            partners[row], known[row] = image_id, True

    low = np.where(known, np.searchsorted(file.image_ids, partners, "left"), 0)
    counts = np.where(known, np.searchsorted(file.image_ids, partners, "right"), 0) - low
    offsets = np.concatenate([[0], np.cumsum(counts)])
    take = np.arange(offsets[-1]) + np.repeat(low - offsets[:-1], counts)

    lost = len(file.image_ids) - len(np.unique(take))
    if len(file.image_ids) and not len(take):
        raise UserError(
            f"--boxes {file.path}: not one of its {lost:,} boxes belongs to an image of the input"
        )
    if lost:
        notes.say(f"{file.path}: {lost:,} boxes belong to no image of the input")
    if bare := int((counts == 0).sum()):
        notes.say(
            f"{file.path}: {bare:,} images of the input have no box in it, so nobody will be found there"
        )
    return MatchedBoxes(offsets, file.bboxes[take], file.scores[take])


def _by_name(listing: Listing, given: np.ndarray, names: dict[str, int]) -> Iterator[tuple[int, int]]:
    """(row, image id) of the rows without a given id whose file is among `names`."""
    whole = {os.path.normpath(name): image_id for name, image_id in names.items()}
    bases = Counter(map(os.path.basename, whole))
    by_base = {os.path.basename(name): image_id for name, image_id in whole.items()}
    used: set[int] = set()
    loose: dict[str, list[int]] = {}
    for start in range(0, len(listing), BLOCK_ROWS):
        rows = listing.rows(start, min(start + BLOCK_ROWS, len(listing)))
        pairs = zip(rows["file_name"].to_pylist(), rows["uri"].to_pylist(), strict=True)
        for row, (name, uri) in enumerate(pairs, start):
            if given[row]:
                continue
            for candidate in (name, local_path(uri)):
                if candidate in whole:
                    used.add(whole[candidate])
                    yield row, whole[candidate]
                    break
            else:
                base = os.path.basename(name)
                if bases.get(base) == 1:
                    loose.setdefault(base, []).append(row)
    for base, rows_of_base in loose.items():
        if len(rows_of_base) == 1 and by_base[base] not in used:
            yield rows_of_base[0], by_base[base]
