"""How long a reviewer takes for a person, from when decisions were made."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from statistics import median

# A longer pause between two decisions is a break, not work.
_BREAK_SECONDS = 300.0


def seconds_a_person(decisions: Iterable[tuple[str | None, datetime.datetime]]) -> float | None:
    """Median time between neighbouring decisions of a reviewer; None before there are two.

    Args:
        decisions: by whom and when, in any order.
    """
    moments: dict[str | None, Counter[datetime.datetime]] = {}
    for reviewer, moment in decisions:
        moments.setdefault(reviewer, Counter())[moment] += 1
    spent: list[float] = []
    for of_reviewer in moments.values():
        for before, after in pairwise(sorted(of_reviewer)):
            seconds = (after - before).total_seconds()
            if seconds < _BREAK_SECONDS:
                # Many decided at one stroke share the time that went before.
                spent += [seconds / of_reviewer[after]] * of_reviewer[after]
    return median(spent) if spent else None
