"""The views that reviewers begin with, saved in the dataset under names of their own."""

from __future__ import annotations

from typing import Any

from annotator.review.fields import KEYPOINTS

# Sides of a box in COCO's "small" and "medium" meet at 96 pixels: below that joints are hard to see at all.
SMALL_AREA = 96**2
CROWDED_IOU = 0.3
DISAGREES = 0.5

WORST = "worst first"
REVIEW = "needs review"
SWAPPED = "likely left-right swap"
CROWDED = "crowded"
SMALL = "small"
DISAGREEING = "disagrees with ground truth"
FAILED = "failed"
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


def _views(dataset: Any, truth: bool) -> dict[str, tuple[Any, str]]:
    from fiftyone import ViewField as F

    def people(condition: Any) -> Any:
        return dataset.filter_labels(KEYPOINTS, condition).sort_by("risk", reverse=True)

    # Nobody decides about a skeleton that was added in the App.
    undecided = ~F("decision").exists() & F("person").exists()
    views = {
        WORST: (
            dataset.match(F("num_people") > 0).sort_by("risk", reverse=True),
            "Images with people, the least trusted first",
        ),
        REVIEW: (
            people((F("needs_review") == True) & undecided),  # noqa: E712
            "Undecided people among the worst 30%, and everyone with an alarm",
        ),
        UNDECIDED: (people(undecided), "Everyone on whom nobody has decided yet"),
        SWAPPED: (people(F("likely_swap") == True), "Left and right are probably exchanged"),  # noqa: E712
        CROWDED: (people(F("max_iou") > CROWDED_IOU), "People who overlap with somebody else"),
        SMALL: (people(F("area") < SMALL_AREA), "People in boxes of less than 96 x 96 pixels"),
        SENT_BACK: (people(F("decision") == "sent back"), "To be annotated again"),
        GONE: (people(F("gone") == True), "Decided on or corrected, but no longer predicted"),  # noqa: E712
        FAILED: (dataset.match(F("status") == "error"), "Inputs without a result; see error_message"),
    }
    if truth:
        # To the database, what is not there is below every number.
        wrong = (F("oks") >= 0) & (F("oks") < DISAGREES)
        disagreeing = dataset.match(
            (F("missed_people") > 0) | (F(f"{KEYPOINTS}.keypoints").filter(wrong).length() > 0)
        )
        views[DISAGREEING] = (
            disagreeing.sort_by("risk", reverse=True),
            "Somebody's OKS with the ground truth is below 0.5, or somebody was not found",
        )
    return views
