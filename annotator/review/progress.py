"""How far a review is: decisions, by whom, at what pace, and how much is left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from annotator.quality.pace import seconds_a_person
from annotator.review.fields import DOUBTFUL, KEYPOINT_LIST


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a review stands.

    Attributes:
        people: those who are not in doubt, and whoever somebody decided about.
        decided, to_review: of them; to_review counts undecided people who need it.
        decisions, reasons: how many of each. reviewers: decisions by reviewer.
        seconds: median time between a reviewer's neighbouring decisions; None before there are two.
    """

    people: int
    decided: int
    to_review: int
    decisions: dict[str, int]
    reasons: dict[str, int]
    reviewers: dict[str, int]
    seconds: float | None

    @property
    def seconds_left(self) -> float | None:
        """Estimated work left for those who need review."""
        return None if self.seconds is None else self.seconds * self.to_review


def progress(dataset: Any) -> Progress:
    """Count in the database; only the times of decisions come here."""
    collection = dataset._sample_collection
    unwound = [
        {"$unwind": f"${KEYPOINT_LIST}"},
        {"$replaceRoot": {"newRoot": f"${KEYPOINT_LIST}"}},
        # Somebody may have added a skeleton in the App.
        {"$match": {"person": {"$ne": None}}},
        {"$match": {"$or": [{DOUBTFUL: {"$ne": True}}, {"decision": {"$type": "string"}}]}},
    ]
    needed = {"$and": ["$needs_review", {"$not": [{"$ifNull": ["$decision", False]}]}]}
    totals = {"_id": None, "people": {"$sum": 1}, "left": {"$sum": {"$cond": [needed, 1, 0]}}}
    total = next(collection.aggregate([*unwound, {"$group": totals}]), {"people": 0, "left": 0})
    decided = list(
        collection.aggregate(
            [
                {"$match": {f"{KEYPOINT_LIST}.decision": {"$type": "string"}}},
                *unwound,
                {"$match": {"decision": {"$type": "string"}}},
                {"$project": {"decision": 1, "reason": 1, "reviewer": 1, "decided_at": 1, "_id": 0}},
            ]
        )
    )
    return Progress(
        people=total["people"],
        decided=len(decided),
        to_review=total["left"],
        decisions=dict(Counter(d["decision"] for d in decided)),
        reasons=dict(Counter(d["reason"] for d in decided if d.get("reason"))),
        reviewers=dict(Counter(d.get("reviewer") or "unknown" for d in decided)),
        seconds=seconds_a_person((d.get("reviewer"), d["decided_at"]) for d in decided),
    )
