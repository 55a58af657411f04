"""Identifiers of people: whose image one is in, and whether a reviewer added the person.

A run's own are `schema.instance_ids`, below 2**52. Those of people whom reviewers added begin there, so that
they never meet one of the run's, and stay below 2**53: exact in JavaScript and where JSON is read as doubles.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection

import numpy as np

from annotator.store.schema import PERSON_BITS

ADDED = 1 << 52
# Bits below the image of an added person. Nobody hands out these numbers for all databases of a run: they are
# drawn, and two of one image are the same once in a million.
_NUMBER_BITS = 20


def added_id(index: int, taken: Collection[int] = ()) -> int:
    """An identifier for somebody whom a reviewer adds to the image at place `index` of the plan.

    Args:
        taken: identifiers that are in use in that image.

    Raises:
        ValueError: there is no such place (2**32 and beyond).
    """
    if not 0 <= index < ADDED >> _NUMBER_BITS:
        raise ValueError(f"people cannot be added to image {index}")
    while True:
        person = ADDED | index << _NUMBER_BITS | secrets.randbelow(1 << _NUMBER_BITS)
        if person not in taken:
            return person


def is_added(person: int) -> bool:
    """Whether a reviewer added the person."""
    return person >= ADDED


def item_of(person: int) -> int:
    """The place in the plan of a person's image."""
    return (person - ADDED) >> _NUMBER_BITS if is_added(person) else person >> PERSON_BITS


def items_of(people: np.ndarray) -> np.ndarray:
    """(N,) int64: `item_of` each of (N,) int64."""
    return np.where(people >= ADDED, (people - ADDED) >> _NUMBER_BITS, people >> PERSON_BITS)
