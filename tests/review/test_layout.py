"""Reviews that earlier versions loaded: nothing that people did there is lost."""

from __future__ import annotations

import copy
import struct
import zlib

import numpy as np
import pytest

from annotator.errors import UserError
from annotator.review import decisions
from annotator.review.documents import Document
from annotator.review.layout import LAYOUT, as_today
from annotator.review.load import load
from annotator.review.mirror import Mirror
from annotator.review.pull import pull
from annotator.store import reviews
from tests.review.conftest import SIZE

SEEN, HALF_SEEN = 3 << 12 | 1, 3 << 12 | 2
MIRROR = Mirror(((0, 1), (2, 3)))


def checksum(lines: list) -> int:
    """What layouts 1 to 3 kept of the lines that they drew."""
    flat = [value for chain in lines for vertex in chain for value in vertex]
    return zlib.crc32(struct.pack(f"<{len(flat)}d", *flat))


@pytest.fixture
def earlier(run, place, fo):
    """The run as layout 3 loaded it, with decisions and dragged joints."""
    dataset = fo.load_dataset(load(run.open(), place, quiet=True).dataset)
    dataset.remove_dynamic_sample_field("poses.polylines.drawn")
    collection = dataset._sample_collection
    lines = {one["_id"]: one["poses"]["polylines"] for one in collection.find()}
    for identifier, of_sample in lines.items():
        before = [line | {"drawn": checksum(line["points"])} for line in of_sample]
        collection.update_one({"_id": identifier}, {"$set": {"poses.polylines": before}})
    dataset.add_sample_field("poses.polylines.drawn", fo.IntField)
    dataset.info["annotator"].pop("layout", None)
    dataset.info["annotator"]["state"] = "of layout 3"
    dataset.save()
    sample = dataset.match({"index": 3}).first()
    sample.poses.polylines[0].points[2][1] = (0.5, 0.25)
    sample.poses.polylines[1].points[4][2] = (0.6, 0.25)  # the right ankle, which the model did not see
    sample.save()
    decisions.decide(dataset, [SEEN], reviews.ACCEPTED, by="anna")
    return dataset


@pytest.mark.parametrize("load_first", [False, True])
def test_a_review_of_an_earlier_layout_comes_back_whole(run, place, earlier, load_first: bool) -> None:
    if load_first:
        assert load(run.open(), place, quiet=True).renewed == 6
        earlier.reload()
        drawn = earlier.match({"index": 3}).first().poses.polylines[0].drawn
        assert [len(chain) for chain in drawn] == [5, 3, 3, 3, 3]
    pulled = pull(run.open(), place)
    assert (pulled.new, pulled.decided, pulled.corrected, pulled.broken) == (2, 1, 2, 0)
    found = reviews.read(run.open())
    assert found[SEEN].accepted and found[SEEN].reviewer == "anna"
    for person, joint, to in ((SEEN, 8, (0.5, 0.25)), (HALF_SEEN, 16, (0.6, 0.25))):
        review = found[person]
        assert review.moved_joints == (joint,) and review.flags == ()
        keypoints = np.reshape(review.keypoints or (), (17, 3))
        assert np.allclose(keypoints[joint], [*np.multiply(to, SIZE) - 0.5, 2], atol=1e-4)
    assert pull(run.open(), place).layer is None


def test_a_later_layout_is_refused_in_words(run, place, fo) -> None:
    dataset = fo.load_dataset(load(run.open(), place, quiet=True).dataset)
    dataset.info["annotator"]["layout"] = LAYOUT + 1
    dataset.save()
    for command in (load, pull):
        with pytest.raises(UserError, match="loaded by a later version of annotator"):
            command(run.open(), place)


def sample(points: list, drawn: object, now: list) -> Document:
    """One person of four joints on two chains."""
    return {
        "keypoints": {"keypoints": [{"person": 1, "points": points}]},
        "poses": {"polylines": [{"person": 1, "points": now, "drawn": drawn}]},
    }


@pytest.mark.parametrize(
    ("dragged", "predicted", "found", "stale"),
    [
        ((), 0.4, 0.4, None),
        ((0,), 0.9, 0.4, None),  # annotated anew since, and the joint that nobody saw was left alone
        ((0, 3), 0.4, 0.4, None),
        ((0, 3), 0.9, 0.9, True),
    ],
)
def test_where_a_line_was_drawn_is_proved_by_its_checksum(dragged, predicted, found, stale) -> None:
    """The last of the four joints was not labelled: the keypoints do not say where it was drawn."""
    points = [[0.1, 0.1], [0.2, 0.2], [0.3, 0.3], [0.4, 0.4]]
    drawn = MIRROR.to_lines(np.array(points))
    now = copy.deepcopy(points)
    for joint in dragged:
        now[joint] = [0.7, 0.7]
    labelled = [*points[:3], [np.nan, np.nan]]
    today = {1: MIRROR.to_lines(np.array([*points[:3], [predicted, predicted]]))}
    read = as_today(sample(labelled, checksum(drawn), MIRROR.to_lines(np.array(now))), today, MIRROR)
    assert read["poses"]["polylines"][0]["drawn"] == [drawn[0], [[0.3, 0.3], [found, found]]]
    assert read["keypoints"]["keypoints"][0].get("stale") is stale


def test_a_line_that_lost_vertices_stays_broken() -> None:
    points = [[0.1, 0.1], [0.2, 0.2], [0.3, 0.3], [0.4, 0.4]]
    drawn = MIRROR.to_lines(np.array(points))
    read = as_today(sample(points, checksum(drawn), [drawn[0]]), {1: drawn}, MIRROR)
    assert read["poses"]["polylines"] == [{"person": 1, "points": [drawn[0]], "drawn": drawn}]
    assert as_today(sample(points, drawn, drawn), {}, MIRROR) == sample(points, drawn, drawn)
