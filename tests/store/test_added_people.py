"""People whom reviewers added stand among the run's own in whatever reads it as reviewed."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from annotator.errors import ItemError
from annotator.export import FORMATS
from annotator.export.selected import selected
from annotator.quality.reviewed import verdicts
from annotator.store import reviews
from annotator.store.person_ids import ADDED, added_id, is_added, item_of, items_of
from annotator.store.reviewed import ReviewedRun
from annotator.store.reviews import Review
from annotator.store.schema import INSTANCES, instance_ids
from annotator.store.verify import verify

WHEN = "2026-01-01T10:00:00.000Z"


@pytest.fixture
def run(make_run, picture, people):
    """Two shards: people in the first and the third image, nobody in the second, an error."""
    boxes = [[10, 20, 30, 60], [100, 20, 30, 60]]
    pictures = [picture("0.jpg", people(boxes)), picture("1.jpg"), picture("2.jpg", people(boxes))]
    return make_run([*pictures, picture("3.jpg", ItemError("decode", "x", "x"))]).commit()


def somebody(index: int, decision: str | None = None, labelled: int = 17, **more) -> Review:
    keypoints = [value for n in range(17) for value in (50.0 + n, 60.0, 2.0 * (n < labelled))]
    return Review(
        **{
            "instance_id": added_id(index),
            "image_id": 1000 + index,
            "decision": decision,
            "time": decision and WHEN,
            "keypoints": tuple(keypoints),
            "corrected_at": WHEN,
            "bbox": (40.0, 50.0, 60.0, 30.0),
            "added_by": "anna",
            "added_at": WHEN,
        }
        | more
    )


def rows(run, choice: str) -> list[dict]:
    return [row for batch in ReviewedRun(run.open(), choice).instances() for row in batch.to_pylist()]


def test_ids_of_added_people_meet_nobody_elses_and_name_their_image() -> None:
    ids = [added_id(index) for index in (0, 0, 7, 2**32 - 1)]
    assert len(set(ids)) == 4 and all(is_added(one) and one < 2**53 for one in ids)
    assert not is_added(instance_ids(2**40 - 1, 4095)[-1])
    predicted = instance_ids(5, 2)
    assert [item_of(one) for one in ids + predicted] == [0, 0, 7, 2**32 - 1, 5, 5]
    assert items_of(np.array(ids + predicted)).tolist() == [0, 0, 7, 2**32 - 1, 5, 5]
    with pytest.raises(ValueError, match="cannot be added"):
        added_id(2**32)


def test_a_number_that_is_taken_is_drawn_again(monkeypatch) -> None:
    numbers = iter([3, 3, 4])
    monkeypatch.setattr("annotator.store.person_ids.secrets.randbelow", lambda _: next(numbers))
    first = added_id(0)
    assert [first, added_id(0, [first])] == [ADDED | 3, ADDED | 4]


def test_they_stand_behind_those_of_their_image_with_what_is_known(run) -> None:
    stored = list(run.open().instances())
    new = [somebody(2), somebody(0, labelled=3), somebody(1), somebody(1)]
    reviews.write_layer(run.open(), new)
    found = rows(run, "all")
    assert [row["image_id"] for row in found] == [1000] * 3 + [1001] * 2 + [1002] * 3
    assert [is_added(row["id"]) for row in found] == [False, False, True, True, True, False, False, True]
    assert [row["person_index"] for row in found] == [0, 1, 2, 0, 1, 0, 1, 2]
    row = found[2]
    assert (row["id"], row["num_keypoints"], row["score"], row["area"]) == (new[1].instance_id, 3, 1, 1800)
    assert row["bbox"] == [40, 50, 60, 30] and row["keypoint_scores"] == [1] * 3 + [0] * 14
    assert row["person_score"] is None and row["track_id"] is None
    reader = ReviewedRun(run.open(), "all")
    batches = list(reader.instances(["score", "id"]))
    assert all(batch.schema.names == ["score", "id"] for batch in batches)
    assert all(batch.schema.equals(INSTANCES) for batch in reader.instances())
    assert list(run.open().instances()) == stored and verify(run.path).ok


def test_only_the_accepted_keep_their_joints_and_an_image_may_have_nobody_else(run) -> None:
    people = [somebody(1, "accepted"), somebody(0), somebody(2, "rejected"), somebody(0, "accepted")]
    broken = somebody(1, "accepted", keypoints=None, flags=("broken",))
    reviews.write_layer(run.open(), [*people, broken])
    assert {row["id"] for row in rows(run, "all")} >= {one.instance_id for one in people[:2]}
    accepted = {row["id"]: row["num_keypoints"] for row in rows(run, "accepted") if is_added(row["id"])}
    wanted = {people[0]: 17, people[1]: 0, people[3]: 17, broken: 0}
    assert accepted == {one.instance_id: number for one, number in wanted.items()}
    images = ReviewedRun(run.open(), "accepted").images(["image_id"])
    assert [one for batch in images for one in batch["image_id"].to_pylist()] == [1000, 1001]


@pytest.mark.parametrize(
    "name", ["coco", "coco-results", "cvat", "label-studio", "yolo-pose", "hugging-face"]
)
def test_every_format_takes_them(run, tmp_path, name: str) -> None:
    new = [somebody(0, "accepted"), somebody(1, "accepted")]
    reviews.write_layer(run.open(), new)
    done = FORMATS[name](selected(run.open(), reviewed="all").run, tmp_path / "to", min_score=0.5)
    assert (done.images, done.people) == (3, 6)
    if name == "coco":
        entries = json.loads((tmp_path / "to").read_text())["annotations"]
        assert [one["id"] for one in entries if is_added(one["id"])] == [one.instance_id for one in new]
        assert entries[2]["area"] == 1800 and entries[2]["keypoints"][:3] == [50, 60, 2]
    elif name == "yolo-pose":
        lines = (tmp_path / "to" / "labels" / "1.txt").read_text().splitlines()
        assert len(lines) == 1 and len(lines[0].split()) == 5 + 3 * 17
    elif name == "hugging-face":
        (file,) = (tmp_path / "to" / "data").iterdir()
        objects = pq.read_table(str(file))["objects"].to_pylist()
        assert [len(those) for those in objects] == [3, 1, 2]


def test_they_say_nothing_of_predictions(run) -> None:
    reviews.write_layer(run.open(), [somebody(0, "accepted"), somebody(1, "rejected")])
    known, bad = verdicts(run.open(), 0.5)
    assert known.tolist() == bad.tolist() == [False] * 4


def test_reviews_of_a_forgotten_item_that_are_left_are_found(run) -> None:
    from annotator.privacy.forget import forget

    one, other = somebody(0), somebody(2)
    reviews.write_layer(run.open(), [one, other])
    assert forget(str(run.path), ["0.jpg"]).reviews == 1
    assert set(reviews.read(run.open())) == {other.instance_id} and verify(run.path).ok
    reviews.write_layer(run.open(), [one])
    assert [problem.kind for problem in verify(run.path).problems] == ["remains"]
