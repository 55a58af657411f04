"""People whom a run doubts: exported unless asked otherwise, and left out of every format when asked."""

from __future__ import annotations

import json

import numpy as np
import pytest

from annotator.cli.export import export
from annotator.errors import UserError
from annotator.export import FORMATS
from annotator.export.doubtful import DOUBTS, RunWithout, columns_of
from annotator.export.selected import selected
from annotator.quality.signals import measured
from annotator.skeletons import COCO_17
from annotator.store.person_ids import added_id
from annotator.store.reviews import Review, write_layer


@pytest.fixture
def run(make_run, picture, people):
    """Somebody, the same one again a little aside, and a weak box around nobody; then such a box alone."""
    rng = np.random.default_rng(0)
    pose = rng.uniform(0, 200, (17, 2))
    keypoints = np.stack([pose, pose + 4, rng.uniform(300, 400, (17, 2))])
    boxes = [[0, 0, 200, 200], [4, 4, 200, 200], [300, 300, 100, 100]]
    three = people(boxes, keypoints, [0.9, 0.7, 0.12])
    one = people(boxes[2:], keypoints[2:], [0.12])
    made = make_run(
        [
            picture("a.jpg", measured(three, COCO_17, (192, 256))),
            picture("b.jpg", measured(one, COCO_17, (192, 256))),
        ]
    )
    return made.commit()


@pytest.fixture
def exported(run, tmp_path, capsys):
    """`exported(**options)`: places in their images of those exported, names of the images, what was said."""

    def call(**options) -> tuple[list[int], list[str], str]:
        path = tmp_path / "coco.json"
        export(str(run.path), str(path), **options)
        document = json.loads(path.read_text())
        people = [(entry["id"] & 0xFFF) - 1 for entry in document["annotations"]]
        return people, [image["file_name"] for image in document["images"]], capsys.readouterr().out

    return call


def test_everybody_is_exported_and_the_doubtful_are_counted(run, exported) -> None:
    people, _, said = exported()
    assert people == [0, 1, 2, 0]
    assert "2 likely phantoms and 1 likely duplicates; --drop phantoms,duplicates" in said


@pytest.mark.parametrize(
    ("kinds", "left"), [("phantoms", [0, 1]), ("duplicates", [0, 2, 0]), ("phantoms,duplicates", [0])]
)
def test_they_are_left_out_when_asked_and_their_images_stay(run, exported, kinds: str, left: list) -> None:
    people, images, said = exported(drop=kinds)
    assert people == left and images == ["a.jpg", "b.jpg"]
    assert f"{4 - len(left)} people are left out by --drop {kinds}" in said
    assert sum(batch.num_rows for batch in run.open().instances()) == 4


def test_programs_are_told_the_same(run, tmp_path, capsys) -> None:
    path = tmp_path / "people.xml"

    def told(**options) -> dict:
        export(str(run.path), str(path), "cvat", as_json=True, **options)
        return json.loads(capsys.readouterr().out)

    written = {
        "path": str(path),
        "images": 2,
        "errors": 0,
        "no_joints": 0,
        "no_file": 0,
        "no_name": 0,
        "unreadable": 0,
        "no_picture": 0,
        "not_accepted": 0,
        "shards_left": 0,
        "unseen": None,
    }
    everybody = {"people": 4, "below_score": 0, "dropped": None}
    assert told() == written | everybody | {"doubtful": {"phantoms": 2, "duplicates": 1}}
    left = {"phantoms": 0, "duplicates": 1}
    assert told(drop="phantoms") == written | {"people": 2, "below_score": 0, "dropped": 2, "doubtful": left}
    assert told(min_score=0.5)["below_score"] == 2


@pytest.mark.parametrize(
    "name", ["coco", "coco-results", "cvat", "label-studio", "yolo-pose", "hugging-face"]
)
def test_only_whom_an_export_holds_is_counted_as_doubtful(run, tmp_path, name: str) -> None:
    written = FORMATS[name](run.open(), tmp_path / "out", min_score=0.5)
    assert (written.people, written.below_score) == (2, 2)
    assert written.doubtful == {"phantoms": 0, "duplicates": 1}


def test_whom_the_format_leaves_out_is_not_counted_as_doubtful(make_run, picture, people, tmp_path) -> None:
    nobody = people([[300, 300, 100, 100]], np.full((1, 17, 2), -50.0), [0.12])
    made = make_run([picture("a.jpg", measured(nobody, COCO_17, (192, 256)))]).commit()
    written = FORMATS["cvat"](made.open(), tmp_path / "out.xml")
    assert (written.people, written.no_joints) == (0, 1)
    assert written.doubtful == {"phantoms": 0, "duplicates": 0}


@pytest.mark.parametrize("name", ["coco-results", "cvat", "label-studio", "hugging-face"])
def test_every_format_leaves_them_out(run, tmp_path, name: str) -> None:
    source = RunWithout(run.open(), DOUBTS)
    written = FORMATS[name](source, tmp_path / "out", min_score=0.0)
    assert written.people == 1 and written.images == 2


def test_whom_somebody_accepted_stays(run, exported) -> None:
    opened = run.open()
    rows = [row for batch in opened.instances(["id", "image_id"]) for row in batch.to_pylist()]
    phantom = rows[2]
    write_layer(
        opened,
        [Review(phantom["id"], phantom["image_id"], "accepted", None, "me", "2026-01-01T00:00:00Z")],
    )
    people, _, _ = exported(drop="phantoms,duplicates", reviewed="all")
    assert people == [0, 2]


def test_whom_no_review_shows_is_no_label_of_an_accepted_image(run, exported, tmp_path) -> None:
    """Where a review begins phantoms and doubles are not seen, so that nobody refuses them."""
    when = "2026-01-01T00:00:00Z"
    write_layer(run.open(), [Review(1, 1000, "accepted", None, "me", when)])
    people, names, said = exported(reviewed="accepted")
    assert (people, names) == ([0], ["a.jpg"])
    assert "2 people are left out, likely nobody or doubles, about whom nobody decided" in said
    # YOLO knows no person without joints: an image in which somebody is undecided is not in it.
    written = FORMATS["yolo-pose"](selected(run.open(), reviewed="accepted").run, tmp_path / "yolo")
    assert (written.images, written.people, written.not_accepted) == (1, 1, 0)

    write_layer(run.open(), [Review(3, 1000, "sent back", None, "me", when)])
    assert exported(reviewed="accepted")[0] == [0, 2]
    assert exported(reviewed="all")[0] == [0, 1, 2, 0]


def test_whoever_a_reviewer_added_stays_though_no_signal_speaks_of_her(run, exported) -> None:
    when = "2026-01-01T00:00:00Z"
    added = {"corrected_at": when, "bbox": (1.0, 2.0, 30.0, 40.0), "added_at": when}
    write_layer(run.open(), [Review(added_id(1), 1001, keypoints=(9.0, 9.0, 2.0) * 17, **added)])
    people, names, _ = exported(drop="phantoms,duplicates", reviewed="all")
    assert len(people) == 2 and names == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("drop", ["", "phantoms"])
def test_accepted_people_whose_joints_nobody_has_seen_are_told_of(run, exported, drop: str) -> None:
    when = "2026-01-01T00:00:00Z"
    aged = Review(2, 1000, "accepted", None, "me", when, flags=("stale",))
    write_layer(run.open(), [Review(1, 1000, "accepted", None, "me", when), aged])
    said = exported(drop=drop, reviewed="accepted")[2]
    assert "1 accepted people are without keypoints, which nobody has seen" in said
    assert "delete lines that cannot be read in the App, accept anew" in said
    assert "without keypoints" not in exported(drop=drop, reviewed="all")[2]


def test_what_cannot_be_left_out_is_said(run, exported) -> None:
    with pytest.raises(UserError, match="ghosts: choose from phantoms, duplicates"):
        columns_of(run.open(), ["phantoms", "ghosts"])
    with pytest.raises(UserError, match="leave out --smooth, or --drop"):
        exported(drop="phantoms", smooth=True)


def test_rows_without_signals_tell_nothing(make_run, picture, people, tmp_path) -> None:
    old = make_run([picture("a.jpg", people([[0, 0, 9, 9]]))]).commit().open()
    with pytest.raises(UserError, match="no signals"):
        columns_of(old, ["phantoms"])
    assert FORMATS["coco"](old, tmp_path / "coco.json").doubtful == {"phantoms": 0, "duplicates": 0}
