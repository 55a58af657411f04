"""The form in which a dataset keeps its samples, and what those of earlier versions hold, read as today's."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from annotator.errors import UserError
from annotator.review.documents import Document
from annotator.review.fields import POSE_LIST
from annotator.review.mirror import Mirror

# What a dataset was loaded with; another number renews it whole.
LAYOUT = 6


def check_layout(dataset: Any) -> None:
    """Refuse what a later version loaded: nobody knows today what it means.

    Raises:
        UserError: this program is too old for the dataset.
    """
    found = (dataset.info.get("annotator") or {}).get("layout", 0)
    if found > LAYOUT:
        raise UserError(
            f"the review {dataset.name} was loaded by a later version of annotator (layout {found}, this one "
            f"knows {LAYOUT}); install that version for `annotator review`"
        )


def retype(dataset: Any) -> None:
    """Make the fields of an earlier layout those of today's; what the samples hold stays."""
    from fiftyone import IntField

    path = f"{POSE_LIST}.drawn"
    if isinstance(dataset.get_field_schema(flat=True).get(path), IntField):
        dataset.remove_dynamic_sample_field(path)


def as_today(sample: Document, predicted: Mapping[int, list], mirror: Mirror) -> Document:
    """A sample as layout 4 and later keep it: with lines as they were drawn, which 1 to 3 keep as a checksum.

    They were drawn from the keypoints beside them, which lack joints with v = 0. Those are where the line has
    them now if nobody dragged them, else where they are predicted. Where the checksum is of neither, the run
    was annotated anew in between: then a joint with v = 0 counts as dragged, and its person as `stale`.

    Args:
        sample: from the database. Its labels are changed in place.
        predicted: lines of today's rows by person, in fractions of the image.
    """
    labels = {label.get("person"): label for label in (sample.get("keypoints") or {}).get("keypoints") or ()}
    for line in (sample.get("poses") or {}).get("polylines") or ():
        label = labels.get(line.get("person"))
        if label is None or line.get("person") is None or isinstance(line.get("drawn"), list):
            continue
        now = line["points"]
        known = mirror.to_lines(np.array(label["points"], np.float64))
        fillings = [_filled(known, other) for other in (now, predicted.get(line["person"], now))]
        checksum = line.get("drawn")
        drawn = next((lines for lines in (now, *fillings) if _checksum(lines) == checksum), None)
        if drawn is None:
            drawn, label["stale"] = fillings[-1], True
        line["drawn"] = drawn
    return sample


def _filled(known: list, other: list) -> list:
    """Lines whose unknown vertices are those of other lines, as far as these have the same vertices."""
    if [len(chain) for chain in known] != [len(chain) for chain in other]:
        return known
    both = ((np.array(chain), np.array(beside)) for chain, beside in zip(known, other, strict=True))
    return [np.where(np.isfinite(chain), chain, beside).tolist() for chain, beside in both]


def _checksum(lines: list) -> int:
    flat = [coordinate for line in lines for vertex in line for coordinate in vertex]
    return zlib.crc32(struct.pack(f"<{len(flat)}d", *flat))
