"""The views that reviewers begin with, saved in the dataset under names of their own.

Who is in doubt (`fields.DOUBTFUL`) has a view apart: with most detectors these are more than everybody else.
"""

from __future__ import annotations

from typing import Any

from annotator.review.fields import BOXES, DOUBTFUL, KEYPOINTS
from annotator.store.reviews import ACCEPTED
from annotator.store.reviews import SENT_BACK as SENT_BACK_DECISION

# Sides of a box in COCO's "small" and "medium" meet at 96 pixels: below that joints are hard to see at all.
SMALL_AREA = 96**2
CROWDED_IOU = 0.3
DISAGREES = 0.5

# Of samples: the riskiest first, equal ones in the order of the plan.
ORDER = (("risk", -1), ("index", 1))

WORST = "worst first"
REVIEW = "needs review"
SWAPPED = "likely left-right swap"
CROWDED = "crowded"
SMALL = "small"
DISAGREEING = "disagrees with ground truth"
FAILED = "failed"
DOUBTED = "likely nobody"
UNDECIDED = "undecided"
SENT_BACK = "sent back"
GONE = "no longer predicted"


def save(dataset: Any, truth: bool) -> None:
    """Save all views; those that people saved themselves are left alone.

    Args:
        truth: whether there is ground truth; the view of what disagrees with it goes where there is none.
    """
    if not truth and dataset.has_saved_view(DISAGREEING):
        dataset.delete_saved_view(DISAGREEING)
    for name, (view, about) in _views(dataset, truth).items():
        dataset.save_view(name, view, description=about, overwrite=True)


def slug(name: str) -> str:
    """The name of a view in the App's addresses."""
    return name.replace(" ", "-")


def _views(dataset: Any, truth: bool) -> dict[str, tuple[Any, str]]:
    from fiftyone import ViewField as F

    worst_first = dataset.sort_by(list(ORDER))
    doubtful = F(DOUBTFUL) == True  # noqa: E712
    # Nobody decides about a skeleton that was added in the App.
    undecided = ~F("decision").exists() & F("person").exists()

    def everybody(condition: Any) -> Any:
        return worst_first.filter_labels(KEYPOINTS, condition)

    # Never without lines: the App writes to a line by its place among those that its view shows, and removes
    # those that it misses from the database.
    there = worst_first.filter_labels(BOXES, ~doubtful, only_matches=False)
    # Whom somebody accepted is there, whatever the signals say.
    likely = ~doubtful | (F("decision") == ACCEPTED)

    def people(condition: Any) -> Any:
        return there.filter_labels(KEYPOINTS, likely & condition)

    views = {
        WORST: (there.filter_labels(KEYPOINTS, likely), "Whoever is likely there, the least trusted first"),
        REVIEW: (
            people((F("needs_review") == True) & undecided),  # noqa: E712
            "Undecided people among the worst 30%, and everyone with an alarm",
        ),
        UNDECIDED: (people(undecided), "Everyone on whom nobody has decided yet"),
        SWAPPED: (people(F("likely_swap") == True), "Left and right are probably exchanged"),  # noqa: E712
        CROWDED: (people(F("max_iou") > CROWDED_IOU), "People who overlap with somebody else"),
        SMALL: (people(F("area") < SMALL_AREA), "People in boxes of less than 96 x 96 pixels"),
        DOUBTED: (
            everybody(doubtful),
            "Likely nobody, or somebody's double; not in the views above unless accepted",
        ),
        SENT_BACK: (everybody(F("decision") == SENT_BACK_DECISION), "To be annotated again"),
        GONE: (everybody(F("gone") == True), "Decided on or corrected, but no longer predicted"),  # noqa: E712
        FAILED: (dataset.match(F("status") == "error"), "Inputs without a result; see error_message"),
    }
    if truth:
        # To the database, what is not there is below every number.
        wrong = (F("oks") >= 0) & (F("oks") < DISAGREES)
        views[DISAGREEING] = (
            there.filter_labels(KEYPOINTS, likely, only_matches=False).match(
                (F("missed_people") > 0) | (F(f"{KEYPOINTS}.keypoints").filter(wrong).length() > 0)
            ),
            "Somebody's OKS with the ground truth is below 0.5, or somebody was not found",
        )
    return views
