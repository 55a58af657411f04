"""Layers: written once, read back as they were, merged by time."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import jsonschema
import pyarrow.parquet as pq
import pytest

from annotator.errors import RunFailed, UserError
from annotator.store import reviews
from annotator.store.reviewed import ReviewedRun
from annotator.store.reviews import Review
from annotator.store.schema import CONTRACT, SCHEMAS, parse_metadata
from annotator.store.verify import verify


@pytest.fixture
def run(make_run, picture, people):
    """Three images of two people each, and an empty one."""
    boxes = [[10, 20, 30, 60], [100, 20, 30, 60]]
    return make_run([*(picture(f"{n}.jpg", people(boxes)) for n in range(3)), picture("3.jpg")]).commit()


def person(image: int, n: int) -> int:
    return image << 12 | (n + 1)


def decided(image: int, n: int, decision: str | None, time: str, **more) -> Review:
    return Review(person(image, n), 1000 + image, decision, reviewer="anna", time=time, **more)


def corrected(image: int, n: int, time: str, x: float) -> Review:
    return Review(
        person(image, n),
        1000 + image,
        keypoints=(x, 1.5, 2.0) * 17,
        corrected_by="ben",
        corrected_at=time,
        moved_joints=(3,),
        moved_by=(4.5,),
    )


def test_a_layer_is_read_as_it_was_written_and_follows_the_contract(run) -> None:
    rows = [
        decided(1, 0, "rejected", "2026-01-01T10:00:00.000Z", reason="nobody there", flags=("stale",)),
        corrected(0, 1, "2026-01-01T10:00:01.000Z", 0.25),
    ]
    path = reviews.write_layer(run.open(), rows)
    (name,) = reviews.layers(run.open())
    assert run.path / name == path
    assert sorted(reviews.read_layer(run.open(), name), key=lambda row: row.image_id) == rows[::-1]
    table = pq.read_table(str(path))
    assert table.schema.equals(SCHEMAS["reviews"], check_metadata=False)
    schema = json.loads((CONTRACT / "review.schema.json").read_text())
    for row in table.to_pylist():
        jsonschema.validate(row, schema)
    metadata = json.loads((CONTRACT / "metadata.schema.json").read_text())
    jsonschema.validate(parse_metadata(table.schema, "layer"), metadata)
    assert list(schema["properties"]) == SCHEMAS["reviews"].names
    assert verify(run.path).ok


def test_layers_merge_by_time_in_whatever_order_they_are_read() -> None:
    rows = [
        decided(0, 0, "accepted", "2026-01-01T10:00:00.000Z"),
        decided(0, 0, "rejected", "2026-01-01T12:00:00.000Z", reason="other"),
        decided(0, 0, "sent back", "2026-01-01T11:00:00.000Z"),
        corrected(0, 0, "2026-01-01T09:00:00.000Z", 1),
        corrected(0, 0, "2026-01-01T13:00:00.000Z", 2),
    ]
    for order in itertools.permutations(rows):
        merged = reviews.merge(order)[person(0, 0)]
        assert (merged.decision, merged.reason) == ("rejected", "other")
        assert merged.keypoints is not None and merged.keypoints[0] == 2
    withdrawn = decided(0, 0, None, "2026-01-01T14:00:00.000Z")
    assert reviews.merge([*rows, withdrawn])[person(0, 0)].decision is None
    undone = replace(corrected(0, 0, "2026-01-01T15:00:00.000Z", 0), keypoints=None)
    assert reviews.merge([*rows, undone])[person(0, 0)].keypoints is None


def test_of_equal_times_the_later_layer_counts() -> None:
    """One that sets visibilities keeps its time when the prediction under it is renewed."""
    when = "2026-01-01T10:00:00.000Z"
    for rows in itertools.permutations([corrected(0, 0, when, 9), corrected(0, 0, when, 10)]):
        assert reviews.merge(rows)[person(0, 0)].keypoints == rows[1].keypoints


@pytest.mark.parametrize("flag", ["stale", "gone"])
def test_a_prediction_that_changed_after_a_pull_is_flagged_until_somebody_judges_anew(flag: str) -> None:
    accepted = decided(0, 0, "accepted", "2026-01-01T10:00:00.000Z")
    aged = replace(accepted, flags=(flag,))
    anew = decided(0, 0, "accepted", "2026-01-01T11:00:00.000Z")
    for order in itertools.permutations([accepted, aged]):
        assert reviews.merge(order)[person(0, 0)].flags == (flag,)
    for order in itertools.permutations([accepted, aged, anew]):
        assert reviews.merge(order)[person(0, 0)].flags == ()


def test_what_was_dragged_is_flagged_as_its_last_correction_is() -> None:
    when, later = "2026-01-01T10:00:00.000Z", "2026-01-01T11:00:00.000Z"
    broken = decided(0, 0, "accepted", when, corrected_by="ben", corrected_at=when, flags=("broken",))
    outside = replace(corrected(0, 0, later, 400), flags=("outside",))
    aged = decided(0, 0, "rejected", "2026-01-01T12:00:00.000Z", flags=("stale",))
    for order in itertools.permutations([broken, outside, aged]):
        assert reviews.merge(order)[person(0, 0)].flags == ("outside", "stale")


def test_a_layer_of_before_people_could_be_added_is_read(run) -> None:
    """Golden file of version 1.1."""
    (run.path / "reviews").mkdir()
    golden = CONTRACT / "golden" / "1.1" / "reviews.parquet"
    (run.path / "reviews" / "20260101T000000-0.parquet").write_bytes(golden.read_bytes())
    found = reviews.read(run.open())
    assert [(r.decision, r.flags, r.bbox, r.added_at) for r in found.values()] == [
        ("accepted", (), None, None),
        ("rejected", ("stale",), None, None),
        (None, ("broken",), None, None),
    ]
    assert reviews.read_added(run.open()) == {}


def test_an_added_person_merges_by_time_and_is_gone_once_deleted(run) -> None:
    added = {"added_by": "anna", "added_at": "2026-01-01T08:00:00.000Z"}
    first = replace(corrected(0, 0, "2026-01-01T09:00:00.000Z", 1), bbox=(1.0, 2.0, 3.0, 4.0), **added)
    better = replace(corrected(0, 0, "2026-01-01T11:00:00.000Z", 2), bbox=(2.0, 3.0, 4.0, 5.0), **added)
    accepted = decided(0, 0, "accepted", "2026-01-01T10:00:00.000Z", **added)
    for order in itertools.permutations([first, better, accepted]):
        (merged,) = reviews.merge(order).values()
        assert merged.accepted and merged.bbox == better.bbox and merged.keypoints == better.keypoints
        assert (merged.added_by, merged.added_at) == ("anna", added["added_at"])
    deleted = Review(
        first.instance_id, 1000, corrected_at="2026-01-01T12:00:00.000Z", flags=("deleted",), **added
    )
    for order in itertools.permutations([first, accepted, deleted]):
        assert reviews.standing(reviews.merge(order)) == {}
    reviews.write_layer(run.open(), [first, deleted])
    assert reviews.read(run.open()) == {} and reviews.read_added(run.open())[first.instance_id].deleted


def test_a_damaged_layer_is_named(run) -> None:
    path = reviews.write_layer(run.open(), [decided(0, 0, "accepted", "2026-01-01T10:00:00.000Z")])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(RunFailed, match=path.name):
        reviews.read(run.open())


def test_reviewed_rows_are_corrected_and_the_run_is_not(run) -> None:
    before = list(run.open().instances())
    reviews.write_layer(
        run.open(),
        [
            decided(0, 0, "accepted", "2026-01-01T10:00:00.000Z"),
            decided(0, 1, "rejected", "2026-01-01T10:00:00.000Z"),
            decided(1, 0, "accepted", "2026-01-01T10:00:00.000Z"),
            decided(2, 0, "rejected", "2026-01-01T10:00:00.000Z"),
            corrected(0, 0, "2026-01-01T10:00:00.000Z", 7),
        ],
    )

    def rows(choice: str) -> dict[int, dict]:
        batches = ReviewedRun(run.open(), choice).instances()
        return {row["id"]: row for batch in batches for row in batch.to_pylist()}

    everybody = rows("all")
    assert set(everybody) == {person(0, 0), person(1, 0), person(1, 1), person(2, 1)}
    assert everybody[person(0, 0)]["keypoints"][:3] == [7, 1.5, 2]
    assert everybody[person(1, 1)] == before[0].to_pylist()[3]
    accepted = rows("accepted")
    assert set(accepted) == {person(0, 0), person(1, 0), person(1, 1)}
    # Nobody decided on this one: a box whose joints are not labelled.
    assert accepted[person(1, 1)]["num_keypoints"] == 0 and set(accepted[person(1, 1)]["keypoints"]) == {0}
    assert accepted[person(1, 0)]["num_keypoints"] == 17

    names = [batch.to_pydict() for batch in ReviewedRun(run.open(), "accepted").images(["file_name"])]
    assert [name for batch in names for name in batch["file_name"]] == ["0.jpg", "1.jpg"]
    assert list(names[0]) == ["file_name"]
    columns = next(ReviewedRun(run.open(), "all").instances(["score", "id"])).schema.names
    assert columns == ["score", "id"]
    assert list(run.open().instances()) == before


def test_joints_that_nobody_has_seen_are_not_accepted(run) -> None:
    when = "2026-01-01T10:00:00.000Z"
    dragged = {"keypoints": (7.0, 1.5, 2.0) * 17, "corrected_at": when, "moved_by": (4.5,)}
    reviews.write_layer(
        run.open(),
        [
            decided(0, 0, "accepted", when, flags=("stale",), **dragged),
            decided(1, 0, "accepted", when, flags=("stale",)),
            decided(2, 0, "accepted", when),
            decided(2, 1, "accepted", when, flags=("broken",), corrected_at=when),
            decided(3, 0, "accepted", when, flags=("gone", "stale")),
        ],
    )
    accepted = ReviewedRun(run.open(), "accepted")
    found = [row for batch in accepted.instances(["id", "num_keypoints"]) for row in batch.to_pylist()]
    wanted = {person(2, 0): 17, person(2, 1): 0}
    assert {row["id"]: row["num_keypoints"] for row in found} == wanted
    assert accepted.unseen == 3


def test_an_export_takes_what_was_reviewed(run, tmp_path) -> None:
    from annotator.export.coco import write_coco

    reviews.write_layer(
        run.open(),
        [
            decided(1, 0, "accepted", "2026-01-01T10:00:00.000Z"),
            corrected(1, 0, "2026-01-01T10:00:00.000Z", 7),
        ],
    )
    write_coco(ReviewedRun(run.open(), "accepted"), tmp_path / "coco.json")
    coco = json.loads((tmp_path / "coco.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == ["1.jpg"]
    assert [a["num_keypoints"] for a in coco["annotations"]] == [17, 0]
    assert coco["annotations"][0]["keypoints"][:3] == [7, 1.5, 2]


def test_without_reviews_there_is_nothing_to_merge(run) -> None:
    with pytest.raises(UserError, match="review pull"):
        ReviewedRun(run.open(), "accepted")
    with pytest.raises(UserError, match="accepted or all"):
        ReviewedRun(run.open(), "some")
