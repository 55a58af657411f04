"""Each kind of error is planted alone, found as what it is, and costs what its correction gives back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from annotator.evaluate.evaluation import evaluate
from annotator.evaluate.joint_errors import GOOD_SIMILARITY, JointError, judge_joints
from annotator.evaluate.pairs import pair_people
from annotator.evaluate.predictions import FoundPeople
from annotator.evaluate.truth import TruePeople
from annotator.skeletons import COCO_17

BOXES = np.array([[50.0, 40, 120, 240], [300, 60, 150, 300]])
AREAS = BOXES[:, 2] * BOXES[:, 3]
SIGMAS = np.array(COCO_17.sigmas)
NAMES = COCO_17.keypoints
WRIST, MIRRORED = NAMES.index("left_wrist"), NAMES.index("right_wrist")


def upright(boxes: np.ndarray) -> np.ndarray:
    """(N, 17, 2): joints far from one another, the left ones on the right of the picture."""
    rows = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]) / 7
    columns = np.array([0.5] + [0.95, 0.05] * 8)
    return boxes[:, None, :2] + np.stack([columns, 0.05 + 0.9 * rows], 1) * boxes[:, None, 2:]


def truth() -> TruePeople:
    xyv = np.concatenate([upright(BOXES), np.full((2, 17, 1), 2.0)], axis=2)
    return TruePeople(BOXES, AREAS, xyv, np.full(2, 17), np.zeros(2, bool))


def found(xy: np.ndarray, scores: tuple[float, ...] = (0.9, 0.8)) -> FoundPeople:
    xyv = np.concatenate([xy, np.full((*xy.shape[:2], 1), 2.0)], axis=2).astype(np.float32)
    values = np.array(scores, np.float32)
    return FoundPeople(BOXES, xyv, values, values, np.argsort(-values, kind="stable"))


def at(similarity: float, person: int, joint: int) -> np.ndarray:
    """(2,) an offset in pixels at which a joint of a person is that similar."""
    reach = np.sqrt(-2 * np.log(similarity) * AREAS[person]) * 2 * SIGMAS[joint]
    return np.array([0.6, 0.8]) * reach


def planted(kind: JointError, person: int = 0, joint: int = WRIST) -> np.ndarray:
    """(2, 17, 2): perfect people but for one joint."""
    xy = upright(BOXES)
    other = 1 - person
    xy[person, joint] = {
        JointError.GOOD: xy[person, joint] + at(0.9, person, joint),
        JointError.JITTER: xy[person, joint] + at(0.7, person, joint),
        JointError.MISS: xy[person, joint] + at(0.01, person, joint),
        JointError.INVERSION: xy[person, MIRRORED] + at(0.8, person, joint),
        JointError.SWAP: xy[other, joint] + at(0.8, other, joint),
    }[kind]
    return xy


@pytest.mark.parametrize("kind", [k for k in JointError if k != JointError.UNJUDGED])
def test_a_planted_error_is_the_only_one_found(kind: JointError) -> None:
    people = found(planted(kind))
    judged = judge_joints(truth(), people, pair_people(truth(), people, SIGMAS), COCO_17)
    expected = np.zeros((2, 17))
    expected[0, WRIST] = kind
    np.testing.assert_array_equal(judged.errors, expected)


@pytest.mark.parametrize(
    ("kind", "similarity"),
    [(JointError.JITTER, 0.85), (JointError.MISS, 0.5), (JointError.INVERSION, 0.8), (JointError.SWAP, 0.8)],
)
def test_a_corrected_joint_is_as_near_as_the_next_milder_error(kind: JointError, similarity: float) -> None:
    people = found(planted(kind))
    judged = judge_joints(truth(), people, pair_people(truth(), people, SIGMAS), COCO_17)
    place = judged.without(kind, people.keypoints)[0, WRIST, :2]
    square = ((place - upright(BOXES)[0, WRIST]) ** 2).sum()
    assert np.exp(-square / (2 * AREAS[0] * (2 * SIGMAS[WRIST]) ** 2)) == pytest.approx(similarity, abs=1e-4)
    other = JointError.MISS if kind != JointError.MISS else JointError.JITTER
    np.testing.assert_array_equal(judged.without(other, people.keypoints), people.keypoints)
    assert np.delete(judged.corrected, WRIST, 1) == pytest.approx(np.delete(people.keypoints, WRIST, 1))


def test_another_persons_mirrored_joint_is_a_swap() -> None:
    xy = upright(BOXES)
    xy[0, WRIST] = xy[1, MIRRORED]
    people = found(xy)
    judged = judge_joints(truth(), people, pair_people(truth(), people, SIGMAS), COCO_17)
    assert judged.errors[0, WRIST] == JointError.SWAP


def test_what_is_not_labelled_is_not_judged() -> None:
    labelled = truth()
    labelled.keypoints[0, WRIST] = 0
    people = found(planted(JointError.MISS))
    judged = judge_joints(labelled, people, pair_people(labelled, people, SIGMAS), COCO_17)
    assert judged.errors[0, WRIST] == JointError.UNJUDGED and np.isnan(judged.distances[0, WRIST])
    assert (np.delete(judged.errors, WRIST, 1) == JointError.GOOD).all()


def test_a_good_joint_near_its_mirrored_one_is_good() -> None:
    """Wrists clasped: the left one lies where the right one is labelled, and near enough to its own."""
    labelled = truth()
    labelled.keypoints[0, MIRRORED, :2] = labelled.keypoints[0, WRIST, :2] + at(0.9, 0, WRIST)
    xy = labelled.keypoints[..., :2].copy()
    xy[0, WRIST] = xy[0, MIRRORED]
    people = found(xy)
    judged = judge_joints(labelled, people, pair_people(labelled, people, SIGMAS), COCO_17)
    assert GOOD_SIMILARITY < 0.9 and (judged.errors == JointError.GOOD).all()


KINDS = {
    "jitter": JointError.JITTER, "miss": JointError.MISS,
    "inversion": JointError.INVERSION, "swap": JointError.SWAP,
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_the_cost_of_a_planted_error_is_given_back_by_its_correction_alone(
    make_run, picture, people, tmp_path, name: str
) -> None:
    """Eight joints of everybody are wrong in one way: only its correction raises AP."""
    pairs = [
        (NAMES.index(f"left_{part}"), NAMES.index(f"right_{part}"))
        for part in ("wrist", "elbow", "shoulder", "eye")
    ]
    xy = upright(BOXES)
    perfect = xy.copy()
    for person, (left, right) in ((p, pair) for p in (0, 1) for pair in pairs):
        for joint, mirrored in ((left, right), (right, left)):
            xy[person, joint] = {
                "jitter": perfect[person, joint] + at(0.55, person, joint),
                "miss": perfect[person, joint] + at(1e-3, person, joint),
                "inversion": perfect[person, mirrored],
                "swap": perfect[1 - person, joint],
            }[name]
    run = make_run([picture("a.jpg", people(BOXES, keypoints=xy, scores=[0.9, 0.8]))]).commit().open()
    figures = evaluate(run, ground_truth(tmp_path, perfect), nms="none")
    counts = figures["joint_errors"]
    assert counts[name] == 16 and counts["good"] == 18 and sum(counts.values()) == 34
    now, corrected = figures["keypoints"]["AP"], figures["ap_if_corrected"]
    assert corrected["nothing"] == now < 0.9
    assert corrected[name] > now + 0.05
    assert corrected["all_joints"] == corrected[name]
    for other in {*KINDS, "missed_people", "extra_people"} - {name}:
        assert corrected[other] == now, other
    assert figures["joints"]["left_wrist"][name] == 1.0 and figures["joints"]["nose"]["good"] == 1.0


def ground_truth(folder, xy: np.ndarray):
    annotations = [
        {
            "id": n + 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": AREAS[n],
            "bbox": BOXES[n].tolist(), "num_keypoints": 17,
            "keypoints": np.concatenate([xy[n], np.full((17, 1), 2.0)], 1).ravel().tolist(),
        }
        for n in range(len(xy))
    ]  # fmt: skip
    path = folder / "gt.json"
    document = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": list(NAMES)}],
    }
    path.write_text(json.dumps(document))
    return path
