"""What people did to a sample stays when its predictions are renewed."""

from __future__ import annotations

import copy

import pytest

from annotator.review.documents import Document
from annotator.review.keep import kept

PERSON = 5
LISTS = {"keypoints": "keypoints", "people": "detections", "poses": "polylines"}


def sample(shift: float = 0.0, tags: tuple[str, ...] = (), dragged: bool = False) -> Document:
    """A sample of one person, whose labels all have `tags`."""
    lines = [[[0.1 + shift, 0.1], [0.2, 0.2]]]
    moved = [[[0.5, 0.5], [0.2, 0.2]]] if dragged else lines
    own = {
        "keypoints": {"points": lines[0], "confidence": [0.9, 0.9], "visible": [2, 2]},
        "people": {"bounding_box": [0.1 + shift, 0.1, 0.1, 0.1]},
        "poses": {"points": moved, "drawn": copy.deepcopy(lines)},
    }
    labels = {name: [{"_id": name, "person": PERSON, "tags": list(tags), **own[name]}] for name in LISTS}
    about = {"_id": 1, "tags": ["ok"], "metadata": {"width": 320, "height": 240}}
    return about | {name: {inner: labels[name]} for name, inner in LISTS.items()}


@pytest.mark.parametrize("dragged", [False, True])
def test_tags_stay_on_all_labels_of_a_person(dragged: bool) -> None:
    changes = kept(sample(tags=("hard",), dragged=dragged), sample(shift=0.1))
    labels = {name: changes[name][inner] for name, inner in LISTS.items()}
    assert {name: [label["tags"] for label in found] for name, found in labels.items()} == {
        name: [["hard"]] for name in LISTS
    }
    assert labels["people"][0]["bounding_box"] == [0.2, 0.1, 0.1, 0.1]
    # A dragged joint is left where it was; any other is that of the new prediction.
    assert labels["poses"][0]["points"][0][0] == ([0.5, 0.5] if dragged else [0.2, 0.1])


def test_a_line_that_somebody_drew_anew_stays() -> None:
    old = sample()
    added = {"_id": "x", "label": "person", "points": [[[0.1, 0.1], [0.2, 0.2]]]}
    old["poses"]["polylines"].append(added)
    assert [line["_id"] for line in kept(old, sample(shift=0.1))["poses"]["polylines"]] == ["poses", "x"]


def test_whoever_was_decided_on_stays_when_she_is_no_longer_predicted_and_her_line_was_deleted() -> None:
    old, new = sample(), sample()
    old["keypoints"]["keypoints"][0]["decided_at"] = "some time"
    old["poses"]["polylines"] = []
    for name, inner in LISTS.items():
        new[name][inner] = []
    changes = kept(old, new)
    assert [label["gone"] for label in changes["keypoints"]["keypoints"]] == [True]
    assert len(changes["people"]["detections"]) == 1 and not changes["poses"]["polylines"]


def test_joints_of_a_dragged_line_that_nobody_touched_go_with_the_prediction() -> None:
    old, new = sample(), sample(shift=0.1)
    (line,) = old["poses"]["polylines"]
    line["points"][0][1] = [0.7, 0.7]
    changes = kept(old, new)
    (redrawn,) = changes["poses"]["polylines"]
    assert redrawn["points"] == [[[0.2, 0.1], [0.7, 0.7]]] and redrawn["drawn"] == [[[0.2, 0.1], [0.2, 0.2]]]
    assert changes["keypoints"]["keypoints"][0]["stale"]
    # Nobody knows which joint is gone.
    line["points"][0].pop()
    assert kept(old, new)["poses"]["polylines"] == [line]


@pytest.mark.parametrize(
    ("pixels", "news", "stale"),
    [
        (0.4, {}, None),
        (0.6, {}, True),
        (0.0, {"confidence": [0.8, 0.9]}, None),
        (0.0, {"visible": [1, 2]}, True),
    ],
)
def test_a_decision_is_stale_where_the_new_prediction_looks_other(pixels, news: Document, stale) -> None:
    old, new = sample(), sample(shift=pixels / 320)
    old["keypoints"]["keypoints"][0]["decided_at"] = "some time"
    new["keypoints"]["keypoints"][0].update(news)
    assert kept(old, new)["keypoints"]["keypoints"][0].get("stale") == stale


def test_a_truth_of_before_goes_where_there_is_none_now() -> None:
    truth = {"truth_people": {"detections": []}, "truth_keypoints": {"keypoints": []}, "missed_people": 2}
    assert truth.keys() - kept(sample(), sample()).keys() == truth.keys()
    changes = kept(sample() | truth, sample(shift=0.1))
    assert {name: changes[name] for name in truth} == dict.fromkeys(truth)
    other = truth | {"missed_people": 0}
    assert kept(sample() | truth, sample() | other)["missed_people"] == 0


def test_a_person_who_was_not_there_before_has_no_tags() -> None:
    nobody: Document = {"_id": 1, "tags": ["ok"]} | {name: {inner: []} for name, inner in LISTS.items()}
    changes = kept(nobody, sample())
    assert [changes[name][inner][0]["tags"] for name, inner in LISTS.items()] == [[], [], []]
