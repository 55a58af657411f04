"""Identifiers in FiftyOne that name what they stand for, so that nothing has to be looked up.

An ObjectId has 12 bytes: three of the run's key, one for the kind of thing, eight for its number. They stay
the same at every load, which is what makes loading again an update.
"""

from __future__ import annotations

from enum import IntEnum

from bson import ObjectId


class Kind(IntEnum):
    """What an identifier stands for. Its number is a sample's place in the plan, else the person's id."""

    SAMPLE = 0
    INSTANCE = 1
    BOX = 2
    KEYPOINTS = 3
    POSE = 4
    TRUTH_INSTANCE = 5
    TRUTH_BOX = 6
    TRUTH_KEYPOINTS = 7


PERSON_KINDS = (Kind.INSTANCE, Kind.BOX, Kind.KEYPOINTS, Kind.POSE)


class Identifiers:
    """Makes the identifiers of one run.

    Args:
        key: of the run, at least 3 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._heads = {kind: key[:3] + bytes([kind]) for kind in Kind}

    def of(self, kind: Kind, number: int) -> ObjectId:
        """The identifier of one thing."""
        return ObjectId(self._heads[kind] + number.to_bytes(8, "big", signed=True))


def person_of(identifier: str | ObjectId) -> int | None:
    """The person that a label belongs to; None for a label that is not of a person of the run."""
    raw = ObjectId(identifier).binary
    if raw[3] not in PERSON_KINDS:
        return None
    return int.from_bytes(raw[4:], "big", signed=True)
