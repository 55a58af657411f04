"""Who was missed and whose pose is wrong, by size and crowding; both engines; figures that add up."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from annotator.cli import main
from annotator.errors import UserError
from annotator.evaluate.advice import advise
from annotator.evaluate.crowding import crowd_index, crowd_level
from annotator.evaluate.evaluation import evaluate
from annotator.evaluate.truth import TruePeople
from annotator.skeletons import COCO_17, Skeleton

BOX = [100.0, 50.0, 100.0, 200.0]


def annotation(number: int, image: int, bbox: list[float], **changes) -> dict:
    xy = np.array(bbox[:2]) + np.linspace(0.05, 0.95, 17)[:, None] * np.array(bbox[2:])
    return {
        "id": number, "image_id": image, "category_id": 1, "iscrowd": 0, "bbox": bbox,
        "area": bbox[2] * bbox[3], "num_keypoints": 17,
        "keypoints": np.concatenate([xy, np.full((17, 1), 2.0)], 1).ravel().tolist(),
    } | changes  # fmt: skip


@pytest.fixture
def write(tmp_path: Path) -> Callable[[list[dict], int], Path]:
    def write(annotations: list[dict], images: int, **category) -> Path:
        path = tmp_path / "gt.json"
        document = {
            "images": [{"id": i + 1, "file_name": f"{i}.jpg"} for i in range(images)],
            "annotations": annotations,
            "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints)} | category],
        }
        path.write_text(json.dumps(document))
        return path

    return write


def test_missed_wrong_and_extra_people_are_told_apart(make_run, picture, people, write) -> None:
    """Six images: found, pose wrong in the right box, missed, extra, a crowd's, one without joints."""
    wrong = people([BOX])
    wrong.keypoints[:] = wrong.keypoints[:, ::-1]
    pictures = [
        picture("0.jpg", people([BOX], scores=[0.5])),
        picture("1.jpg", wrong),
        picture("2.jpg"),
        picture("3.jpg", people([BOX])),
        picture("4.jpg", people([BOX])),
        picture("5.jpg", people([BOX])),
    ]
    annotations = [annotation(n + 1, n + 1, BOX) for n in (0, 1, 2)]
    annotations.append(annotation(5, 5, [80, 40, 200, 300], iscrowd=1))
    annotations.append(annotation(6, 6, BOX, keypoints=[0] * 51, num_keypoints=0))
    figures = evaluate(make_run(pictures).commit().open(), write(annotations, 6))
    people_figures = figures["labelled_people"]
    wanted = {"labelled": 3, "found": 1, "pose_wrong": 1, "missed": 1, "extra": 1}
    assert {name: people_figures[name] for name in wanted} == wanted
    assert people_figures["around_ignored_or_beyond_20"] == 2
    assert people_figures["oks_histogram"][-1] == 1 and sum(people_figures["oks_histogram"]) == 2
    corrected, now = figures["ap_if_corrected"], figures["keypoints"]["AP"]
    assert corrected["missed_people"] > now and corrected["extra_people"] > now
    assert corrected["nothing"] == now
    steps = advise(figures, "the run", "gt.json")
    assert [s.cost for s in steps] == sorted((s.cost for s in steps), reverse=True)
    assert any("1 of 3 labelled people were not found" in step.problem for step in steps)
    assert any(step.command == "annotator queue 'the run'" for step in steps)


def test_scores_that_rank_wrongly_cost_what_the_right_order_gives_back(
    make_run, picture, people, write
) -> None:
    pictures = [
        picture("0.jpg", people([BOX], scores=[0.3])),
        picture("1.jpg", people([[400, 300, 90, 90]], scores=[0.9])),
    ]
    figures = evaluate(make_run(pictures).commit().open(), write([annotation(1, 1, BOX)], 2))
    assert figures["keypoints"]["AP"] == pytest.approx(0.5, abs=0.01)
    assert figures["ap_if_corrected"]["ranking"] == pytest.approx(1)


def test_a_flawless_run_needs_no_advice(make_run, picture, people, write) -> None:
    run = make_run([picture("0.jpg", people([BOX]))]).commit().open()
    figures = evaluate(run, write([annotation(1, 1, BOX)], 1))
    assert advise(figures, "r", "g") == []
    assert figures["joints"]["all"]["pck_0.05"] == 1 and figures["joints"]["all"]["judged"] == 17


def test_mean_error_and_pck_are_of_the_longer_side(make_run, picture, people, write) -> None:
    """Every joint 15 px off in a box 200 px long: 7.5% of it."""
    moved = people([BOX], keypoints=people([BOX]).keypoints + np.array([9.0, 12.0]))
    run = make_run([picture("0.jpg", moved)]).commit().open()
    row = evaluate(run, write([annotation(1, 1, BOX)], 1))["joints"]["nose"]
    assert row["mean_error_px"] == pytest.approx(15, abs=1e-4)
    assert row["mean_error"] == pytest.approx(0.075, abs=1e-6)
    assert (row["pck_0.05"], row["pck_0.1"], row["pck_0.2"]) == (0, 1, 1)


def test_figures_by_size_and_crowding_are_those_of_their_own(make_run, picture, people, write) -> None:
    """A small person alone is wrong; two large ones over each other are right."""
    small, one, two = [10.0, 10, 40, 60], [100.0, 50, 200, 300], [250.0, 50, 200, 300]
    wrong = people([small])
    wrong.keypoints[:] = wrong.keypoints[:, ::-1]
    pictures = [picture("0.jpg", wrong), picture("1.jpg", people([one, two]))]
    annotations = [annotation(1, 1, small), annotation(2, 2, one), annotation(3, 2, two)]
    figures = evaluate(make_run(pictures).commit().open(), write(annotations, 2))
    ap = {row["from"]: row["AP"] for row in figures["sizes"]}
    assert ap[32] == 0 and ap[192] == pytest.approx(1) and ap[384] is None
    crowding = figures["crowding"]
    assert crowding["easy"] == {"images": 1, "AP": 0.0, "AR": 0.0}
    assert crowding["medium"]["AP"] == pytest.approx(1) and crowding["hard"]["AP"] is None


def test_the_crowd_index_is_crowdposes() -> None:
    """One of 17 joints of the other person in each box: 1 / 17 and 1 / 17; nobody else: 0."""
    a, b = [0.0, 0, 100, 100], [94.0, 94, 100, 100]
    xyv = [np.reshape(annotation(1, 1, box)["keypoints"], (17, 3)) for box in (a, b)]
    both = TruePeople(np.array([a, b]), np.full(2, 1e4), np.array(xyv), np.full(2, 17), np.zeros(2, bool))
    alone = TruePeople(np.array([a]), np.full(1, 1e4), np.array(xyv[:1]), np.full(1, 17), np.zeros(1, bool))
    assert crowd_index(both) == pytest.approx(1 / 17) and crowd_index(alone) == 0
    assert crowd_index(TruePeople.none(17)) == 0
    assert [crowd_level(index) for index in (0, 0.1, 0.11, 0.8, 0.81, 3)] == [
        "easy", "easy", "medium", "medium", "hard", "hard",
    ]  # fmt: skip


def test_joints_with_other_names_are_said(make_run, picture, people, write) -> None:
    names = [*COCO_17.keypoints]
    names[9], names[10] = "Left-Wrist", "hand"
    run = make_run([picture("0.jpg", people([BOX]))]).commit().open()
    figures = evaluate(run, write([annotation(1, 1, BOX)], 1, keypoints=names))
    assert figures["matching"]["joint_names_differ"] == ["right_wrist / hand"]


def test_the_official_lists_of_coco_wholebody_are_read_as_one(
    make_run, picture, people, write, monkeypatch, capsys
) -> None:
    """Through the command; the second person's body is not labelled, but its left hand is."""
    parts = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
    names = tuple(f"joint_{n}" for n in range(133))
    skeleton = Skeleton("whole", names, (), tuple(range(133)), (0.05,) * 133)
    other = [300.0, 50.0, 100.0, 200.0]
    found = people([BOX, other], joints=133)
    lists = []
    for labelled, joints in zip((range(133), range(91, 112)), found.keypoints, strict=True):
        v = np.isin(np.arange(133), labelled) * 2.0
        xyv = np.split(np.concatenate([joints, v[:, None]], 1), np.cumsum(list(parts.values()))[:-1])
        lists.append({name: part.ravel().tolist() for name, part in zip(parts, xyv, strict=True)})
    annotations = [
        annotation(1, 1, BOX, **lists[0]),
        annotation(2, 1, other, num_keypoints=0, **lists[1]),
    ]
    run = make_run([picture("0.jpg", found)], skeleton=skeleton).commit()
    path = str(write(annotations, 1))
    monkeypatch.setattr(sys, "argv", ["annotator", "eval", str(run.path), "--gt", path, "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["keypoints"]["AP"] == pytest.approx(1) and figures["labelled_people"]["found"] == 2
    assert figures["joints"]["joint_132"]["judged"] == 1 and figures["joints"]["joint_91"]["judged"] == 2

    annotations[0]["foot_kpts"] = [1, 2, 2] * 5
    with pytest.raises(UserError, match="annotation 1: foot_kpts are of 5 joints, not 6"):
        evaluate(run.open(), write(annotations, 1))
    # COCO's own file, which has the body alone, is of another skeleton.
    with pytest.raises(UserError, match="keypoints are of 17 joints, not 133; this run's skeleton has 133"):
        evaluate(run.open(), write([annotation(1, 1, BOX)], 1))


def test_both_engines_agree_on_scores_that_tie(make_run, picture, people, write) -> None:
    """All scores 1, as boxes that were given have: the order of images decides, and must be the same."""
    rng = np.random.default_rng(7)
    pictures, annotations = [], []
    for image in rng.permutation(250):
        boxes = np.concatenate([rng.uniform(0, 300, (3, 2)), rng.uniform(20, 200, (3, 2))], 1)
        found = people(boxes[: rng.integers(0, 4)], scores=None)
        found.keypoints[:] += rng.normal(0, 8, found.keypoints.shape)
        found.scores[:] = rng.choice([0.5, 1.0], len(found.scores))
        found.bbox_scores[:] = 1
        pictures.append(picture(f"{image}.jpg", found))
        for box in boxes:
            annotations.append(annotation(len(annotations) + 1, int(image) + 1, box.tolist()))
    run, path = make_run(pictures, shard_size=40).commit().open(), write(annotations, 250)
    fast, oracle = evaluate(run, path), evaluate(run, path, engine="pycocotools")
    assert 0.1 < fast["keypoints"]["AP"] < 0.9
    for part in ("keypoints", "bbox", "ap_if_corrected"):
        assert fast[part] == pytest.approx(oracle[part], abs=1e-6), part
    for a, b in zip(fast["sizes"], oracle["sizes"], strict=True):
        assert a == pytest.approx(b, abs=1e-6)
