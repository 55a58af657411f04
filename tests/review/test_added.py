"""People whom the detector missed: added in the App, pulled, taken back, and brought back by a load."""

from __future__ import annotations

import json

import numpy as np
import pytest

from annotator.cli import review as cli
from annotator.errors import UserError
from annotator.export import FORMATS
from annotator.export.selected import selected
from annotator.privacy.forget import forget
from annotator.review import decisions
from annotator.review.added import add_people, free_place
from annotator.review.load import load
from annotator.review.nobody import OfNobody
from annotator.review.progress import progress
from annotator.review.pull import pull
from annotator.review.redraw import redraw
from annotator.review.server import Edit, sign
from annotator.store import reviews
from annotator.store.person_ids import is_added, item_of
from annotator.store.verify import verify
from tests.review.conftest import SIZE
from tests.review.test_pull import drag

# Vertices of the five lines, by name.
NOSE, LEFT_ELBOW, LEFT_ANKLE = (0, 2), (1, 1), (3, 2)


@pytest.fixture
def dataset(run, place, fo):
    """The loaded run."""
    return fo.load_dataset(load(run.open(), place, quiet=True).dataset)


def add(dataset, index: int, by: str = "anna") -> int:
    (person,) = add_people(dataset, dataset.match({"index": index}).first().id, by)
    return person


def placed(dataset, index: int, person: int) -> int:
    """With two joints where somebody put them."""
    drag(dataset, index, person, *NOSE, (0.5, 0.25))
    drag(dataset, index, person, *LEFT_ANKLE, (0.625, 0.75))
    return person


def labels(dataset, index: int, person: int) -> list:
    dataset.reload()
    sample = dataset.match({"index": index}).first()
    lists = (sample.people.detections, sample.keypoints.keypoints, sample.poses.polylines)
    return [label for those in lists for label in those if label["person"] == person]


def test_an_added_person_is_a_template_like_everybody_else(dataset) -> None:
    person = add(dataset, 0)
    assert is_added(person) and item_of(person) == 0 and person < 2**53
    box, skeleton, line = labels(dataset, 0, person)
    assert box.instance.id == skeleton.instance.id == line.instance.id
    assert np.isnan(skeleton.points).all() and skeleton.visible == [0] * 17
    assert skeleton.added_by == "anna" and line.points == line.drawn
    assert decisions.people_of_labels([{"label_id": line.id}]) == [person]
    x, y, w, h = box.bounding_box
    joints = np.array([vertex for chain in line.points for vertex in chain])
    assert ((joints > [x, y]) & (joints < [x + w, y + h])).all()
    assert progress(dataset).people == 9
    # Another of the same picture stands elsewhere.
    assert labels(dataset, 0, add(dataset, 0))[0].bounding_box[:2] != [x, y]


def test_a_template_is_no_label(run, place, dataset, monkeypatch, capsys) -> None:
    person = add(dataset, 0)
    decisions.decide(dataset, [person], reviews.ACCEPTED)
    monkeypatch.setattr(cli, "_opened", lambda *_: (run.open(), place))
    cli.pull(str(run.path))
    said = capsys.readouterr().out
    assert "nothing new" in said and "1 people were added of whom no joint was placed yet" in said
    assert "0.png" in said and reviews.layers(run.open()) == []


def test_placed_joints_come_back_once_with_who_and_when(run, place, dataset) -> None:
    person = placed(dataset, 3, add(dataset, 3))
    decisions.set_visibility(dataset, [person], [7], 1, by="ben")
    pulled = pull(run.open(), place)
    assert (pulled.new, pulled.added, pulled.corrected, pulled.unplaced) == (1, 1, 0, ())
    review = reviews.read(run.open())[person]
    assert (review.image_id, review.added_by, review.corrected_by) == (1003, "anna", "ben")
    assert review.added_at is not None and review.decision is None and review.moved_joints is None
    xyv = np.reshape(review.keypoints or (), (17, 3))
    assert np.flatnonzero(xyv[:, 2]).tolist() == [0, 7, 15] and xyv[[0, 7, 15], 2].tolist() == [2, 1, 2]
    assert xyv[0, :2].tolist() == [159.5, 59.5] and xyv[15, :2].tolist() == [199.5, 179.5]
    x, y, w, h = review.bbox or ()
    assert x < xyv[[0, 7, 15], 0].min() and x + w > xyv[[0, 7, 15], 0].max() and y < 59.5 and y + h > 179.5
    assert pull(run.open(), place).layer is None
    assert verify(run.path).ok


def test_a_box_that_somebody_drew_is_the_persons(run, place, dataset, fo) -> None:
    sample = dataset.match({"index": 2}).first()
    boxes = [[0.1, 0.2, 0.25, 0.5], [0.5, 0.5, 0.75, 0.25]]
    sample["people"] = fo.Detections(detections=[fo.Detection(bounding_box=box) for box in boxes])
    sample.save()
    first, second = add_people(dataset, sample.id, "anna")
    placed(dataset, 2, first)
    assert pull(run.open(), place).of_nobody.labels == 0
    found = reviews.read(run.open())
    assert found[first].bbox == (32, 48, 80, 120) and found[first].keypoints is not None
    # The box alone is known of the other one, as far as it lies in the image.
    assert found[second].bbox == (160, 120, 160, 60) and found[second].added_by == "anna"
    assert not any((found[second].keypoints or ())[2::3])


def test_a_box_drawn_beside_the_predicted_ones_becomes_a_person(run, place, dataset, fo) -> None:
    sample = dataset.match({"index": 0}).first()
    sample["missed"] = fo.Detections(detections=[fo.Detection(bounding_box=[0.25, 0.25, 0.5, 0.5])])
    sample.save()
    assert pull(run.open(), place).of_nobody == OfNobody(1, ("0.png",))
    person = add(dataset, 0)
    box, _, line = labels(dataset, 0, person)
    assert box.bounding_box == [0.25, 0.25, 0.5, 0.5] and box.drawn is None
    joints = np.array([vertex for chain in line.points for vertex in chain])
    assert (joints > 0.25).all() and (joints < 0.75).all()
    assert pull(run.open(), place).of_nobody.labels == 0
    assert reviews.read(run.open())[person].bbox == (80, 60, 160, 120)


def test_skeleton_and_box_follow_the_line_and_nothing_else_comes_back(run, place, dataset) -> None:
    person = placed(dataset, 3, add(dataset, 3))
    others = [str(label.to_dict()) for label in labels(dataset, 3, 3 << 12 | 1)]
    _, _, line = labels(dataset, 3, person)
    sample = dataset.match({"index": 3}).first()
    sign(Edit(str(dataset._doc.id), sample.id, frozenset([line.id])))
    box, skeleton, _ = labels(dataset, 3, person)
    assert np.flatnonzero(np.isfinite(skeleton.points).all(axis=1)).tolist() == [0, 15]
    assert skeleton.points[0] == pytest.approx([0.5, 0.25]) and skeleton.visible == [0] * 17
    assert [str(label.to_dict()) for label in labels(dataset, 3, 3 << 12 | 1)] == others
    pull(run.open(), place)
    review = reviews.read(run.open())[person]
    assert np.multiply(box.bounding_box, np.tile(SIZE, 2)) == pytest.approx(review.bbox)
    assert pull(run.open(), place).layer is None

    decisions.set_visibility(dataset, [person], [0], 0)
    redraw(dataset, [person])
    box, skeleton, _ = labels(dataset, 3, person)
    assert np.flatnonzero(np.isfinite(skeleton.points).all(axis=1)).tolist() == [15]
    assert box.bounding_box[3] * SIZE[1] == pytest.approx(16)
    assert pull(run.open(), place).new == 1


def test_deleting_the_line_takes_the_person_back(run, place, dataset) -> None:
    person = placed(dataset, 3, add(dataset, 3))
    never_pulled = add(dataset, 0)
    decisions.decide(dataset, [person], reviews.SENT_BACK)
    assert pull(run.open(), place).send_back.images == 1
    for index, one in ((3, person), (0, never_pulled)):
        sample = dataset.match({"index": index}).first()
        sample.poses.polylines = [line for line in sample.poses.polylines if line.person != one]
        sample.save()
    pulled = pull(run.open(), place)
    assert (pulled.new, pulled.unplaced, pulled.decisions, pulled.send_back.images) == (1, (), {}, 0)
    assert reviews.read(run.open()) == {}
    assert pull(run.open(), place).layer is None
    # A load takes the rest of the labels away.
    load(run.open(), place, quiet=True)
    assert labels(dataset, 3, person) == []


def test_an_undone_template_is_taken_back_and_can_be_placed_again(run, place, dataset) -> None:
    person = placed(dataset, 3, add(dataset, 3))
    pull(run.open(), place)
    sample = dataset.match({"index": 3}).first()
    line = sample.poses.polylines[-1]
    line.points = line.drawn
    sample.save()
    assert pull(run.open(), place).new == 1 and reviews.read(run.open()) == {}
    drag(dataset, 3, person, *NOSE, (0.125, 0.25))
    assert pull(run.open(), place).new == 1 and person in reviews.read(run.open())
    assert pull(run.open(), place).layer is None


def test_a_load_renews_predictions_around_added_people(run, place, dataset) -> None:
    person = placed(dataset, 3, add(dataset, 3))
    before = [str(label.to_dict()) for label in labels(dataset, 3, person)]
    assert load(run.open(), place, max_copies=1, quiet=True).renewed == 6
    assert [str(label.to_dict()) for label in labels(dataset, 3, person)] == before


def test_a_load_brings_people_back_into_a_new_database_and_layers_merge(run, place, dataset, fo) -> None:
    person = placed(dataset, 3, add(dataset, 3))
    decisions.decide(dataset, [person], reviews.ACCEPTED, by="anna")
    pull(run.open(), place)
    hers = reviews.read(run.open())[person]
    dataset.delete()
    loaded = load(run.open(), place, quiet=True)
    assert loaded.brought_back == 1 and load(run.open(), place, quiet=True).brought_back == 0
    other = fo.load_dataset(loaded.dataset)
    assert labels(other, 3, person)[1].added_by == "anna"
    assert pull(run.open(), place).layer is None

    # Others touch the picture, and then the person.
    decisions.decide(other, [3 << 12 | 1], reviews.ACCEPTED, by="ben")
    pull(run.open(), place)
    assert reviews.read(run.open())[person] == hers
    drag(other, 3, person, *LEFT_ELBOW, (0.75, 0.5))
    pull(run.open(), place)
    his = reviews.read(run.open())[person]
    assert his.accepted and his.reviewer == "anna" and his.added_by == "anna"
    assert np.flatnonzero((his.keypoints or ())[2::3]).tolist() == [0, 7, 15]
    assert pull(run.open(), place).layer is None
    # Samples that nobody touched are put in anew.
    load(run.open(), place, max_copies=1, quiet=True)
    assert len(labels(other, 3, person)) == 3


def test_a_broken_line_keeps_its_box_and_loses_its_joints(run, place, dataset, tmp_path) -> None:
    person = placed(dataset, 3, add(dataset, 3))
    pull(run.open(), place)
    box = reviews.read(run.open())[person].bbox
    sample = dataset.match({"index": 3}).first()
    del sample.poses.polylines[-1].points[1][1]
    sample.save()
    assert pull(run.open(), place).broken == 1
    review = reviews.read(run.open())[person]
    assert review.bbox == box and review.keypoints is None and not review.accepted
    FORMATS["coco"](selected(run.open(), reviewed="all").run, tmp_path / "all.json")
    (entry,) = [
        a for a in json.loads((tmp_path / "all.json").read_text())["annotations"] if a["id"] == person
    ]
    assert entry["num_keypoints"] == 0 and entry["bbox"] == list(box or ())


def test_people_of_a_forgotten_picture_vanish(run, place, dataset) -> None:
    placed(dataset, 3, add(dataset, 3))
    stays = placed(dataset, 0, add(dataset, 0))
    pull(run.open(), place)
    assert forget(str(run.path), ["3.png"], database_dir=str(place.database)).reviews == 1
    assert set(reviews.read(run.open())) == {stays} and verify(run.path).ok
    assert load(run.open(), place, quiet=True).brought_back == 0


def test_nobody_is_added_where_there_is_no_result(dataset) -> None:
    with pytest.raises(UserError, match="no result"):
        add_people(dataset, dataset.match({"index": 5}).first().id)
    dataset.info["annotator"]["layout"] = 4
    dataset.save()
    with pytest.raises(UserError, match="review load"):
        add_people(dataset, dataset.first().id)


def test_a_free_place_is_the_middle_or_beside_it() -> None:
    alone = free_place(np.zeros((0, 4)), SIZE)
    assert np.allclose(alone[:2] + alone[2:] / 2, 0.5) and alone[3] == 0.5
    beside = free_place(alone[None], SIZE)
    assert beside[0] >= alone[0] + alone[2] or beside[0] + beside[2] <= alone[0]
    assert (beside[:2] >= 0).all() and (beside[:2] + beside[2:] <= 1).all()
