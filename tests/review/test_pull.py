"""Decisions and corrections come back exactly, once, and the run stays what it was."""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from annotator.cli import review as cli
from annotator.errors import RunFailed, UserError
from annotator.review import decisions, views
from annotator.review.load import load
from annotator.review.nobody import OfNobody
from annotator.review.progress import progress
from annotator.review.pull import pull
from annotator.review.server import Edit, sign
from annotator.store import reviews
from annotator.store.verify import verify
from tests.review.conftest import SIZE, make_review_run, two_people

A, B, C, D = (n << 12 | (m + 1) for n, m in ((0, 0), (0, 1), (3, 0), (3, 1)))


@pytest.fixture
def dataset(run, place, fo):
    """The loaded run."""
    return fo.load_dataset(load(run.open(), place, quiet=True).dataset)


def drag(dataset, index: int, person: int, chain: int, place: int, to) -> None:
    """Move one vertex as the App does: the whole label is saved with the new point."""
    sample = dataset.match({"index": index}).first()
    line = next(p for p in sample.poses.polylines if p.person == person)
    line.points[chain][place] = to
    sample.save()


def signed(dataset, person: int, by: str, hour: int) -> None:
    """Say who dragged her joints, as the App's server does."""
    edited = {"edited_by": by, "edited_at": datetime.datetime(2030, 1, 1, hour)}
    change = {f"keypoints.keypoints.$[one].{name}": value for name, value in edited.items()}
    dataset._sample_collection.update_one(
        {"index": person >> 12}, {"$set": change}, array_filters=[{"one.person": person}]
    )


def test_nothing_was_done(run, place, dataset) -> None:
    pulled = pull(run.open(), place)
    assert pulled.layer is None and pulled.new == 0 and not (run.path / "reviews").exists()


def test_decisions_come_back_and_only_once(run, place, dataset) -> None:
    files = {f: hashlib.sha256(f.read_bytes()).hexdigest() for f in run.path.rglob("*.parquet")}
    decisions.decide(dataset, [A, C], reviews.ACCEPTED, by="anna")
    decisions.decide(dataset, [B], reviews.REJECTED, "same person twice", by="ben")
    decisions.decide(dataset, [D], reviews.SENT_BACK, by="anna")
    pulled = pull(run.open(), place)
    assert (pulled.new, pulled.decided, pulled.corrected) == (4, 4, 0)
    found = reviews.read(run.open())
    assert {p: (r.decision, r.reason, r.reviewer) for p, r in found.items()} == {
        A: ("accepted", None, "anna"),
        B: ("rejected", "same person twice", "ben"),
        C: ("accepted", None, "anna"),
        D: ("sent back", None, "anna"),
    }
    assert all(r.keypoints is None and r.time and r.time.endswith("Z") for r in found.values())
    assert found[C].image_id == 1003
    assert pull(run.open(), place).layer is None
    assert all(hashlib.sha256(f.read_bytes()).hexdigest() == digest for f, digest in files.items())
    assert verify(run.path).ok

    decisions.decide(dataset, [A], None, by="anna")
    again = pull(run.open(), place)
    assert again.new == 1 and len(reviews.layers(run.open())) == 2
    assert reviews.read(run.open())[A].decision is None


def test_a_dragged_joint_is_that_joint_of_that_person_and_nothing_else_moves(run, place, dataset) -> None:
    drag(dataset, 3, C, 2, 1, (0.5, 0.25))  # the second vertex of the right arm: the right elbow
    pulled = pull(run.open(), place)
    assert (pulled.new, pulled.corrected) == (1, 1)
    review = reviews.read(run.open())[C]
    keypoints = np.array(review.keypoints).reshape(17, 3)
    wanted = two_people().keypoints[0]
    assert review.moved_joints == (8,)
    assert keypoints[8].tolist() == [0.5 * SIZE[0] - 0.5, 0.25 * SIZE[1] - 0.5, 2]
    assert review.moved_by is not None
    assert review.moved_by[0] == pytest.approx(np.linalg.norm(keypoints[8, :2] - wanted[8]), rel=1e-6)
    others = np.arange(17) != 8
    assert np.array_equal(keypoints[others, :2].astype(np.float32), wanted[others])
    assert review.flags == () and review.decision is None and review.corrected_at is not None
    assert pull(run.open(), place).layer is None


@pytest.mark.parametrize(
    ("to", "was_set", "v", "flags"),
    [
        ((0.5, 0.5), None, 2, ()),
        ((0.5, 0.5), 1, 1, ()),
        ((1.25, 0.5), None, 0, ("outside",)),
        ((0.5, 1.0), None, 0, ("outside",)),
        ((1.25, 0.5), 1, 1, ("outside",)),
    ],
)
def test_a_joint_that_is_moved_gets_a_label_in_the_image(
    run, place, dataset, to, was_set, v: int, flags
) -> None:
    drag(dataset, 3, D, 4, 2, to)  # the right ankle, which the model did not see
    drag(dataset, 3, C, 4, 2, to)  # and one that it saw
    if was_set is not None:
        decisions.set_visibility(dataset, [C, D], [16], was_set)
    pull(run.open(), place)
    found = reviews.read(run.open())
    for person, others in ((C, [2] * 16), (D, [2] * 12 + [0] * 4)):
        assert found[person].moved_joints == (16,) and found[person].flags == flags
        keypoints = np.array(found[person].keypoints).reshape(17, 3)
        assert keypoints[:, 2].tolist() == [*others, v]
        assert keypoints[16, :2].tolist() == [to[0] * SIZE[0] - 0.5, to[1] * SIZE[1] - 0.5]


def test_visibility_is_set_without_moving_anything(run, place, dataset) -> None:
    assert decisions.set_visibility(dataset, [C], [9, 10], 1) == 1
    decisions.set_visibility(dataset, [C], [0], 0)
    # The others go with the prediction, whatever a later load renews.
    stored = dataset._sample_collection.find_one({"index": 3})["keypoints"]["keypoints"][0]
    assert stored["visible_set"] == [0] + [decisions.UNSET] * 8 + [1, 1] + [decisions.UNSET] * 6
    pull(run.open(), place)
    review = reviews.read(run.open())[C]
    assert review.moved_joints == (0, 9, 10) and review.moved_by == (0, 0, 0)
    keypoints = np.array(review.keypoints, np.float32).reshape(17, 3)
    assert np.array_equal(keypoints[:, :2], two_people().keypoints[0])
    assert keypoints[[0, 9, 10, 11], 2].tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("drag_first", [True, False])
def test_a_dragged_joint_is_labelled_whatever_was_set_of_others(
    run, place, dataset, drag_first: bool
) -> None:
    if drag_first:
        drag(dataset, 3, D, 4, 2, (0.5, 0.5))  # the right ankle, which the model did not see
    decisions.set_visibility(dataset, [D], [0], 1)
    if not drag_first:
        drag(dataset, 3, D, 4, 2, (0.5, 0.5))
    pull(run.open(), place)
    review = reviews.read(run.open())[D]
    assert review.moved_joints == (0, 16)
    visible = np.array(review.keypoints).reshape(17, 3)[:, 2]
    assert visible.tolist() == [1] + [2] * 11 + [0] * 4 + [2]


def test_setting_visibility_leaves_decision_and_decider_alone(run, place, dataset, fo) -> None:
    decisions.decide(dataset, [C], reviews.ACCEPTED, by="anna")
    pull(run.open(), place)
    accepted = reviews.read(run.open())[C]
    decisions.set_visibility(dataset, [C], [9], 1, by="ben")
    pull(run.open(), place)
    review = reviews.read(run.open())[C]
    assert (review.decision, review.reviewer, review.time) == ("accepted", "anna", accepted.time)
    assert review.corrected_by == "ben" and (review.corrected_at or "") > (accepted.time or "")

    # In another database nobody has decided, which is no withdrawal.
    dataset.delete()
    other = fo.load_dataset(load(run.open(), place, quiet=True).dataset)
    decisions.set_visibility(other, [C], [10], 1, by="cleo")
    pull(run.open(), place)
    elsewhere = reviews.read(run.open())[C]
    assert (elsewhere.decision, elsewhere.reviewer) == ("accepted", "anna")
    assert elsewhere.corrected_by == "cleo" and elsewhere.moved_joints == (10,)


def test_visibility_that_is_set_back_is_no_correction_any_more(run, place, dataset) -> None:
    decisions.set_visibility(dataset, [C], [9], 1)
    pull(run.open(), place)
    decisions.set_visibility(dataset, [C], [9], 2, by="ben")
    pull(run.open(), place)
    review = reviews.read(run.open())[C]
    assert review.keypoints is None and review.corrected_by == "ben"
    assert pull(run.open(), place).layer is None


def test_who_set_visibility_last_is_not_who_dragged_somebody_else(run, place, dataset) -> None:
    drag(dataset, 3, D, 2, 1, (0.5, 0.25))
    signed(dataset, D, "anna", hour=10)
    decisions.set_visibility(dataset, [C], [9], 1, by="ben")
    pull(run.open(), place)
    found = reviews.read(run.open())
    assert (found[C].corrected_by, found[D].corrected_by) == ("ben", "anna")


def test_a_newer_correction_stays_when_somebody_else_is_corrected(run, place, dataset) -> None:
    """Whoever dragged with a script did not sign: all that is known is when the picture was touched."""
    drag(dataset, 3, C, 2, 1, (0.5, 0.25))
    pull(run.open(), place)
    hers = reviews.read(run.open())[C]
    assert hers.corrected_by is None and hers.corrected_at is not None
    # From another database.
    keypoints = hers.keypoints and (0.0, *hers.keypoints[1:])
    better = replace(hers, keypoints=keypoints, corrected_by="cleo")
    reviews.write_layer(run.open(), [better])

    drag(dataset, 3, D, 2, 1, (0.5, 0.25))
    signed(dataset, D, "anna", hour=12)
    assert pull(run.open(), place).new == 1
    found = reviews.read(run.open())
    assert found[C] == better
    assert (found[D].corrected_by, found[D].corrected_at) == ("anna", "2030-01-01T12:00:00.000Z")


def test_a_broken_pose_is_flagged_and_not_guessed(run, place, dataset) -> None:
    sample = dataset.match({"index": 3}).first()
    del sample.poses.polylines[0].points[1][1]
    sample.save()
    pulled = pull(run.open(), place)
    assert pulled.broken == 1
    review = reviews.read(run.open())[C]
    assert review.flags == ("broken",) and review.keypoints is None


def test_a_broken_pose_that_was_put_back_is_not_broken_any_more(run, place, dataset) -> None:
    sample = dataset.match({"index": 3}).first()
    vertex = sample.poses.polylines[0].points[1].pop(1)
    sample.save()
    assert pull(run.open(), place).broken == 1
    sample.poses.polylines[0].points[1].insert(1, vertex)
    sample.save()
    signed(dataset, C, "ben", hour=10)
    assert pull(run.open(), place).new == 1
    assert reviews.read(run.open())[C].flags == ()
    assert pull(run.open(), place).layer is None


def test_a_broken_line_that_was_deleted_is_broken_until_somebody_decides_anew(run, place, dataset) -> None:
    sample = dataset.match({"index": 3}).first()
    del sample.poses.polylines[0].points[1][1]
    sample.save()
    decisions.decide(dataset, [C], reviews.ACCEPTED, by="anna")
    pull(run.open(), place)
    sample = dataset.match({"index": 3}).first()
    del sample.poses.polylines[0]
    sample.save()
    pull(run.open(), place)
    before = reviews.read(run.open())[C]
    assert before.flags == ("broken",) and not before.accepted

    decisions.decide(dataset, [C], reviews.ACCEPTED, by="ben")
    pull(run.open(), place)
    review = reviews.read(run.open())[C]
    assert review.accepted and review.flags == () and review.keypoints is None
    assert (review.corrected_by, review.corrected_at) == ("ben", review.time)
    load(run.open(), place, max_copies=1, quiet=True)
    assert pull(run.open(), place).layer is None


@pytest.mark.parametrize("load_again", [False, True])
@pytest.mark.parametrize("visible", [False, True])
def test_a_dragged_line_that_was_deleted_takes_its_correction_back(
    run, place, dataset, visible: bool, load_again: bool
) -> None:
    if visible:
        decisions.set_visibility(dataset, [C], [9], 1, by="ben")
    drag(dataset, 3, C, 2, 1, (0.5, 0.25))
    sample = dataset.match({"index": 3}).first()
    sign(Edit(str(dataset._doc.id), sample.id, frozenset({"poses.polylines.0"})))
    decisions.decide(dataset, [C], reviews.ACCEPTED, by="anna")
    pull(run.open(), place)
    assert reviews.read(run.open())[C].moved_joints == ((8, 9) if visible else (8,))

    sample = dataset.match({"index": 3}).first()
    del sample.poses.polylines[0]
    sample.save()
    if load_again:
        load(run.open(), place, max_copies=1, quiet=True)
    assert pull(run.open(), place).new == 1
    review = reviews.read(run.open())[C]
    assert review.moved_joints == ((9,) if visible else None) and review.accepted
    assert pull(run.open(), place).layer is None


def posed_anew(run, shift: float) -> None:
    """Every shard committed again, as after damage: the commits of a run that finds the joints elsewhere."""
    other = make_review_run(run.path.parent / f"shifted by {shift}", shift)
    for folder in ("commits", "instances", "images"):
        shutil.rmtree(run.path / folder)
        (other.path / folder).rename(run.path / folder)


def test_rows_that_changed_since_the_load_are_nobodys_correction(run, place, dataset) -> None:
    decisions.decide(dataset, [A], reviews.ACCEPTED, by="anna")
    drag(dataset, 3, C, 2, 1, (0.5, 0.25))
    posed_anew(run, 2.0)
    pulled = pull(run.open(), place)
    assert (pulled.decided, pulled.corrected) == (1, 1)
    found = reviews.read(run.open())
    assert found.keys() == {A, C}
    assert (found[A].decision, found[A].keypoints, found[A].flags) == ("accepted", None, ("stale",))
    assert found[C].flags == ("stale",) and found[C].moved_joints == (8,)


@pytest.mark.parametrize("load_again", [False, True])
@pytest.mark.parametrize("shift", [0.0, 0.01, 5.0])
def test_joints_that_nobody_dragged_are_those_of_the_prediction(
    run, place, dataset, shift: float, load_again: bool
) -> None:
    """Of today's, also where its v is 0 and its line was drawn from another one."""
    decisions.decide(dataset, [D], reviews.ACCEPTED, by="anna")
    drag(dataset, 3, D, 2, 1, (0.5, 0.25))
    posed_anew(run, shift)
    if load_again:
        load(run.open(), place, quiet=True)
    pull(run.open(), place)
    review, others = reviews.read(run.open())[D], np.arange(17) != 8
    keypoints = np.array(review.keypoints).reshape(17, 3)
    assert review.moved_joints == (8,) and keypoints[8].tolist() == [159.5, 59.5, 2]
    assert np.array_equal(keypoints[others, :2].astype(np.float32), two_people(shift).keypoints[1][others])
    assert keypoints[:, 2].tolist() == [2] * 12 + [0] * 5
    # Nobody has seen them where they are somewhere else now.
    assert review.flags == (("stale",) if shift > 1 else ()) and review.accepted is (shift < 1)
    assert pull(run.open(), place).layer is None


def test_whoever_is_judged_anew_on_the_renewed_prediction_is_not_stale(run, place, dataset) -> None:
    decisions.decide(dataset, [A, B], reviews.ACCEPTED, by="anna")
    decisions.set_visibility(dataset, [C], [9], 1, by="anna")
    drag(dataset, 3, D, 2, 1, (0.5, 0.25))
    pull(run.open(), place)
    posed_anew(run, 2.0)
    load(run.open(), place, quiet=True)
    pull(run.open(), place)
    assert {p: r.flags for p, r in reviews.read(run.open()).items()} == dict.fromkeys(
        (A, B, C, D), ("stale",)
    )
    decisions.decide(dataset, [A, D], reviews.ACCEPTED, by="ben")
    decisions.set_visibility(dataset, [C], [10], 1, by="ben")
    pull(run.open(), place)
    found = reviews.read(run.open())
    assert {p: r.flags for p, r in found.items()} == {A: (), B: ("stale",), C: (), D: ()}
    left = np.array(found[C].keypoints).reshape(17, 3)
    assert np.array_equal(left[:, :2].astype(np.float32), two_people(2.0).keypoints[0])
    # Nor does the next load say so again.
    load(run.open(), place, max_copies=1, quiet=True)
    assert pull(run.open(), place).layer is None


def test_a_visibility_set_as_predicted_is_a_look_at_the_renewed_prediction(run, place, dataset) -> None:
    decisions.decide(dataset, [A], reviews.ACCEPTED, by="anna")
    for shift in (2.0, 4.0):
        posed_anew(run, shift)
        load(run.open(), place, quiet=True)
        pull(run.open(), place)
        assert reviews.read(run.open())[A].flags == ("stale",)
        decisions.set_visibility(dataset, [A], [9], 2, by="ben")
        pull(run.open(), place)
        review = reviews.read(run.open())[A]
        assert review.accepted and (review.reviewer, review.corrected_by) == ("anna", "ben")
        assert pull(run.open(), place).layer is None


@pytest.mark.parametrize("load_again", [False, True])
def test_a_difference_that_nobody_sees_voids_no_decision(run, place, dataset, load_again: bool) -> None:
    decisions.decide(dataset, [A], reviews.ACCEPTED, by="anna")
    posed_anew(run, 0.01)
    if load_again:
        load(run.open(), place, quiet=True)
    pull(run.open(), place)
    assert reviews.read(run.open())[A].accepted


@pytest.fixture
def added(dataset, fo):
    """The run, with people whom somebody added in the App, in a picture with people and one that failed."""
    sample = dataset.match({"index": 3}).first()
    sample.people.detections.append(fo.Detection(label="person", bounding_box=[0.1, 0.1, 0.2, 0.2]))
    sample.keypoints.keypoints.append(fo.Keypoint(label="person", points=[(0.1, 0.1)] * 17))
    sample.poses.polylines.append(fo.Polyline(label="person", points=[[(0.1, 0.1), (0.2, 0.2)]]))
    sample.save()
    sample = dataset.match({"index": 5}).first()
    sample["people"] = fo.Detections(detections=[fo.Detection(label="person", bounding_box=[0, 0, 1, 1])])
    sample.save()
    dataset.add_sample(fo.Sample(filepath="/data/her own.jpg"))
    return dataset


def test_people_added_in_the_app_are_said_with_their_pictures_and_the_rest_is_pulled(
    run, place, added, monkeypatch, capsys
) -> None:
    decisions.decide(added, [C], reviews.ACCEPTED, by="anna")
    drag(added, 3, D, 2, 1, (0.5, 0.25))
    monkeypatch.setattr(cli, "_opened", lambda *_: (run.open(), place))
    cli.pull(str(run.path))
    said = capsys.readouterr().out
    assert "1 people decided, 1 corrected" in said
    assert "4 boxes, skeletons or lines that were drawn" in said and "in 3.png, 5.png. Add a person" in said
    found = reviews.read(run.open())
    assert found.keys() == {C, D} and found[C].accepted and found[D].moved_joints == (8,)
    cli.pull(str(run.path), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["of_nobody"], told["of_nobody_in"]) == (4, ["3.png", "5.png"])


def test_people_added_in_the_app_stay_there_and_disturb_nobody(run, place, added) -> None:
    assert decisions.set_visibility(added, [C], [9], 1) == 1
    assert decisions.people_in(added.match({"index": 3})) == [C, D]
    assert decisions.decide(added, decisions.people_in(added), reviews.ACCEPTED) == 8
    assert decisions.next_in(added.view(), None, skip=False) == (None, [])
    assert decisions.people_in(added.load_saved_view(views.UNDECIDED)) == []
    counted = progress(added)
    assert (counted.people, counted.decided) == (8, 8)

    assert load(run.open(), place, max_copies=1, quiet=True).renewed == 6
    added.reload()
    sample = added.match({"index": 3}).first()
    labels = (sample.people.detections, sample.keypoints.keypoints, sample.poses.polylines)
    assert [len(those) for those in labels] == [3, 3, 3]
    assert pull(run.open(), place).of_nobody == OfNobody(4, ("3.png", "5.png"))


def test_a_line_that_was_deleted_says_nothing_of_the_prediction(run, place, dataset) -> None:
    decisions.decide(dataset, [C], reviews.ACCEPTED, by="anna")
    sample = dataset.match({"index": 3}).first()
    del sample.poses.polylines[0]
    sample.save()
    pull(run.open(), place)
    assert reviews.read(run.open())[C].flags == ()


def test_rounding_of_a_browser_is_not_a_correction(run, place, dataset) -> None:
    sample = dataset.match({"index": 3}).first()
    line = sample.poses.polylines[0]
    line.points = [[(x + 1e-8, y - 1e-8) for x, y in chain] for chain in line.points]
    sample.save()
    assert pull(run.open(), place).layer is None


def test_what_a_damaged_layer_held_is_pulled_again_once_it_is_out_of_the_way(run, place, dataset) -> None:
    decisions.decide(dataset, [C], reviews.ACCEPTED, by="anna")
    drag(dataset, 3, D, 2, 1, (0.5, 0.25))
    layer = pull(run.open(), place).layer
    before = reviews.read(run.open())
    assert layer is not None
    layer.write_bytes(layer.read_bytes()[:-20])
    with pytest.raises(RunFailed, match="move it away: the next `annotator review pull` brings back"):
        pull(run.open(), place)
    layer.rename(layer.with_suffix(".damaged"))
    assert pull(run.open(), place).new == 2
    assert reviews.read(run.open()) == before


def test_two_databases_merge_by_time(run, place, dataset, fo) -> None:
    """A second reviewer with a database of her own: simulated by clearing the decisions between pulls."""
    decisions.decide(dataset, [A, B], reviews.ACCEPTED, by="anna")
    pull(run.open(), place)
    dataset.delete()
    other = fo.load_dataset(load(run.open(), place, quiet=True).dataset)
    assert pull(run.open(), place).layer is None
    decisions.decide(other, [B, C], reviews.REJECTED, "other", by="ben")
    assert pull(run.open(), place).new == 2
    found = reviews.read(run.open())
    assert {p: r.reviewer for p, r in found.items()} == {A: "anna", B: "ben", C: "ben"}


def test_send_back_is_a_manifest_that_run_takes(run, place, dataset) -> None:
    from annotator.sources.manifests import manifest_rows

    decisions.decide(dataset, [C, D, A], reviews.SENT_BACK)
    pulled = pull(run.open(), place)
    manifest = pulled.send_back.manifest
    assert pulled.send_back.images == 2 and manifest is not None
    rows = list(manifest_rows(str(manifest), ".csv"))
    assert [(uri, image_id) for uri, _, image_id in rows] == [("/data/0.png", 1000), ("/data/3.png", 1003)]
    decisions.decide(dataset, [C, D, A], reviews.ACCEPTED)
    assert pull(run.open(), place).send_back.manifest is None and not manifest.exists()
    assert verify(run.path).ok


def test_a_decision_finds_a_sample_that_a_load_is_renewing(dataset, monkeypatch) -> None:
    """A load takes a sample out and puts it back: a decision in between is not lost."""
    collection = dataset._sample_collection
    taken = collection.find_one_and_delete({"index": 0})
    monkeypatch.setattr(decisions.time, "sleep", lambda _: collection.insert_one(taken))
    assert decisions.decide(dataset, [A, C], reviews.ACCEPTED) == 2
    dataset.reload()
    for index in (0, 3):
        people = dataset.match({"index": index}).first().keypoints.keypoints
        assert [person.to_dict().get("decision") for person in people] == ["accepted", None]


def test_progress_counts_and_estimates(dataset) -> None:
    before = progress(dataset)
    assert (before.people, before.decided, before.seconds_left) == (8, 0, None)
    assert before.to_review == 4
    for person, who in ((A, "anna"), (B, "anna"), (C, "ben")):
        decisions.decide(dataset, [person], reviews.ACCEPTED, by=who)
    after = progress(dataset)
    assert after.decided == 3 and after.reviewers == {"anna": 2, "ben": 1}
    assert after.to_review == 3 and after.decisions == {"accepted": 3}
    assert after.seconds is not None and after.seconds_left == after.seconds * 3


def test_a_run_that_was_not_loaded(run, place) -> None:
    with pytest.raises(UserError, match="review load"):
        pull(run.open(), place)
