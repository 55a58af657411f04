"""Signals on people made so that each answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from annotator.people import Poses
from annotator.pose.boxes import iou_matrix
from annotator.pose.decoding import make_decoder
from annotator.pose.entropy import heatmap_entropy, simcc_entropy
from annotator.pose.oks import best_first, oks_between, oks_nms, suppressed
from annotator.quality.signals import measure, measured
from annotator.skeletons import COCO_17, Skeleton

SIGMAS = np.array(COCO_17.sigmas)
SIZE = (192, 256)


def standing(x: float = 100.0, y: float = 50.0, height: float = 400.0) -> np.ndarray:
    """(17, 2): somebody upright who faces us; left is on the right of the picture."""
    of = {
        "nose": (0, 0.06), "eye": (0.02, 0.045), "ear": (0.04, 0.055), "shoulder": (0.13, 0.182),
        "elbow": (0.14, 0.368), "wrist": (0.14, 0.514), "hip": (0.08, 0.47), "knee": (0.08, 0.715),
        "ankle": (0.08, 0.961),
    }  # fmt: skip
    joints = []
    for name in COCO_17.keypoints:
        side, _, part = name.rpartition("_")
        dx, dy = of[part]
        joints.append((x + height * dx * {"left": 1, "right": -1, "": 0}[side], y + height * dy))
    return np.array(joints)


def poses(keypoints: np.ndarray, scores=None, bbox_scores=None, joint_score: float = 0.8) -> Poses:
    """People (N, 17, 2) whose boxes are the extents of their joints."""
    keypoints = np.asarray(keypoints, np.float32)
    n = len(keypoints)
    low, high = keypoints.min(axis=1), keypoints.max(axis=1)
    given = np.full(n, 0.9) if scores is None else np.asarray(scores)
    boxed = given if bbox_scores is None else np.asarray(bbox_scores)
    return Poses(
        np.concatenate([low, high - low], axis=1).astype(np.float64),
        boxed.astype(np.float32),
        keypoints,
        np.full((n, 17), joint_score, np.float32),
        given.astype(np.float32),
    )


def joint(name: str) -> int:
    return COCO_17.keypoints.index(name)


def test_entropy_of_maps_whose_spread_is_known() -> None:
    maps = torch.zeros(1, 5, 4, 6)
    maps[0, 0, 1, 2] = 0.7
    maps[0, 1, 0, 0] = maps[0, 1, 3, 5] = 0.2
    maps[0, 2] = 3.0
    maps[0, 3] = -1.0
    maps[0, 4] = -0.5
    maps[0, 4, 2, 2:4] = 255.0
    expected = [0.0, np.log(2), np.log(24), np.log(24), np.log(2)]
    assert heatmap_entropy(maps)[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_entropy_does_not_depend_on_the_scale_of_maps() -> None:
    maps = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(heatmap_entropy(maps), heatmap_entropy(maps * 255), atol=1e-5, rtol=1e-5)


def test_entropy_of_simcc_is_that_of_both_distributions() -> None:
    from scipy.special import softmax
    from scipy.stats import entropy

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3, 12)), rng.normal(size=(2, 3, 16))
    expected = entropy(softmax(10 * x, axis=-1), axis=-1) + entropy(softmax(10 * y, axis=-1), axis=-1)
    found = simcc_entropy(torch.from_numpy(x).float(), torch.from_numpy(y).float(), beta=10.0)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)
    flat = simcc_entropy(torch.zeros(1, 1, 12), torch.zeros(1, 1, 16))
    assert flat.item() == pytest.approx(np.log(12) + np.log(16), abs=1e-5)


def test_decoders_know_what_their_outputs_spread_over() -> None:
    codec = {"type": "SimCCLabel", "input_size": (192, 256), "simcc_split_ratio": 2.0}
    decoder = make_decoder(codec, {"type": "RTMCCHead", "loss": {"type": "KLDiscretLoss", "beta": 10.0}})
    outputs = torch.rand(2, 17, 384), torch.rand(2, 17, 512)
    torch.testing.assert_close(decoder.entropies(outputs), simcc_entropy(*outputs, beta=10.0))
    assert make_decoder(codec).beta == 1
    regression = make_decoder({"type": "RegressionLabel", "input_size": (192, 256)})
    assert regression.entropies(torch.rand(2, 17, 4)) is None
    combined = make_decoder(
        {"type": "UDPHeatmap", "input_size": (192, 256), "heatmap_size": (48, 64), "heatmap_type": "combined"}
    )
    maps = torch.rand(2, 51, 64, 48)
    torch.testing.assert_close(combined.entropies(maps), heatmap_entropy(maps[:, ::3]))


def test_the_persons_entropy_is_weighted_by_scores() -> None:
    people = poses(standing()[None])
    scores = np.zeros((1, 17), np.float32)
    scores[0, :2] = 0.9, 0.3
    entropies = np.full((1, 17), 9.0, np.float32)
    entropies[0, :2] = 2.0, 4.0
    people = replace(people, keypoint_scores=scores, keypoint_entropies=entropies)
    assert measure(people, COCO_17).entropy == pytest.approx([2.5])
    nothing = replace(people, keypoint_scores=np.zeros((1, 17), np.float32))
    assert measure(nothing, COCO_17).entropy == pytest.approx([entropies.mean()])
    assert measure(poses(standing()[None]), COCO_17).entropy is None


def test_flip_agreement_is_oks_joint_by_joint() -> None:
    people = poses(np.stack([standing(), standing(500)]))
    area = people.bboxes[:, 2:].prod(axis=1)
    halves = np.stack([people.keypoints, people.keypoints], axis=1)
    # The second person's nose lies two standard deviations apart.
    halves[1, 1, 0, 0] += 2 * 2 * SIGMAS[0] * np.sqrt(area[1])
    found = measure(replace(people, halves=halves), COCO_17)
    assert found.keypoint_flip_oks is not None and found.flip_oks is not None
    assert found.keypoint_flip_oks[0] == pytest.approx(np.ones(17))
    assert found.keypoint_flip_oks[1, 0] == pytest.approx(np.exp(-2), rel=1e-3)
    assert found.flip_oks == pytest.approx([1, (16 + np.exp(-2)) / 17], rel=1e-4)
    assert measure(people, COCO_17).flip_oks is None


def test_somebody_found_twice_is_the_better_one_again() -> None:
    people = poses(
        np.stack([standing(), standing(103, 52), standing(600), standing(101)]), [0.5, 0.9, 0.95, 0.3]
    )
    found = measure(people, COCO_17, SIZE)
    similarity = oks_between(people.keypoints, people.bboxes[:, 2:].prod(axis=1), SIGMAS)
    # The best of the three is nobody's duplicate; the worst goes to whom it resembles most.
    assert found.duplicate_of.tolist() == [1, -1, -1, 0]
    assert found.duplicate_oks == pytest.approx([similarity[0, 1], 0, 0, similarity[3, 0]], abs=1e-6)
    assert found.nms_suppressed.tolist() == [True, False, False, True]


def test_suppressed_people_are_those_that_nms_leaves_out() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        n = int(rng.integers(0, 150))
        keypoints = standing() + rng.normal(0, 6, (n, 17, 2)) + rng.choice([0, 300], (n, 1, 1))
        scores = rng.choice([0.2, 0.5, 0.9], n).astype(np.float32)
        areas = rng.uniform(1e4, 6e4, n)
        removed = suppressed(oks_between(keypoints, areas, SIGMAS), scores, 0.8)
        kept = oks_nms(keypoints, scores, areas, SIGMAS, 0.8)
        assert sorted(np.flatnonzero(~removed)) == sorted(kept)
        assert list(best_first(scores)) == sorted(range(n), key=lambda i: (-scores[i], -i))


def test_overlap_is_the_largest_of_an_image() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [5, 5, 15, 15], [100, 100, 100, 120]])
    iou = iou_matrix(boxes, boxes)
    assert iou[0, 1] == pytest.approx(50 / 150) and iou[0, 2] == pytest.approx(25 / 175)
    assert iou[3, 3] == 0 and (iou == iou.T).all()
    keypoints = np.stack([standing(), standing(100 + 400 * 0.14), standing(5000)])
    found = measure(poses(keypoints), COCO_17)
    assert found.max_iou == pytest.approx([1 / 3, 1 / 3, 0], abs=1e-4)


def test_joints_outside_the_box_are_counted() -> None:
    people = poses(np.stack([standing()] * 2))
    moved = people.keypoints.copy()
    moved[1, 9] -= 500, 0
    moved[1, 10] += 0, 500
    assert measure(replace(people, keypoints=moved), COCO_17).joints_outside_box.tolist() == [0, 2]


def test_a_bone_that_is_too_long_stands_out() -> None:
    far = standing()
    far[joint("left_wrist")] += 200, 0
    away = standing()
    away[joint("left_knee")] += 300, 0
    found = measure(poses(np.stack([standing(), far, away])), COCO_17).bone_outliers
    # A knee that is elsewhere makes thigh and shank too long.
    assert found is not None and found.tolist() == [0, 1, 2]
    other = Skeleton("two", ("left", "right"), (), (1, 0), (0.1, 0.1))
    two = Poses(np.zeros((1, 4)), np.ones(1), np.zeros((1, 2, 2)), np.ones((1, 2)), np.ones(1))
    assert measure(two, other).bone_outliers is None and measure(two, other).likely_swap is None


def test_left_and_right_exchanged() -> None:
    twisted = standing()
    shoulders = [joint("left_shoulder"), joint("right_shoulder")]
    twisted[shoulders] = twisted[shoulders[::-1]]
    side = standing()
    side[:, 0] = 100 + (side[:, 0] - 100) * 0.1
    side[shoulders] = side[shoulders[::-1]]
    people = poses(np.stack([standing(), twisted, side]))
    found = measure(people, COCO_17).likely_swap
    # Seen from the side, left and right lie so close that their order says nothing.
    assert found is not None and found.tolist() == [False, True, False]


def test_halves_of_the_flip_test_that_exchange_sides() -> None:
    def exchanged(pose: np.ndarray, *names: str) -> np.ndarray:
        places = [joint(f"{side}_{name}") for side in ("left", "right") for name in names]
        other = pose.copy()
        other[places] = other[[*places[len(names) :], *places[: len(names)]]]
        return other

    front, side = standing(), standing()
    side[:, 0] = 100 + (side[:, 0] - 100) * 0.1
    halves = [
        (front, front),
        (front, exchanged(front, "knee", "ankle")),
        (front, exchanged(front, "wrist")),
        # Sides that lie so close that nobody could tell them.
        (side, exchanged(side, "knee", "ankle")),
    ]
    people = replace(poses(np.stack([front, front, front, side])), halves=np.array(halves).astype(np.float32))
    found = measure(people, COCO_17).likely_swap
    assert found is not None and found.tolist() == [False, True, True, False]


def test_phantoms_have_weak_boxes_and_weak_poses() -> None:
    people = poses(np.stack([standing()] * 3), bbox_scores=[0.12, 0.12, 0.9], joint_score=0.2)
    strong = people.keypoint_scores.copy()
    strong[1] = 0.8
    people = replace(people, keypoint_scores=strong)
    found = measure(people, COCO_17, phantom_below=0.25)
    assert found.person_score == pytest.approx([0.16, 0.46, 0.55])
    assert found.likely_phantom.tolist() == [True, False, False]


def test_nobody_has_no_signals() -> None:
    nobody = measured(poses(np.zeros((0, 17, 2))), COCO_17, SIZE)
    assert nobody.signals is not None and len(nobody.signals.max_iou) == 0


def test_doubles_are_left_out_only_when_asked() -> None:
    people = poses(np.stack([standing(600), standing(), standing(101)]), [0.2, 0.9, 0.5])
    flagged = measured(people, COCO_17, SIZE)
    assert len(flagged) == 3 and flagged.signals is not None
    dropped = measured(people, COCO_17, SIZE, nms="drop")
    assert dropped.scores.tolist() == pytest.approx([0.2, 0.9]) and dropped.signals is not None
    assert not dropped.signals.nms_suppressed.any() and dropped.signals.duplicate_of.tolist() == [-1, -1]


@pytest.mark.parametrize("n", [1, 65, 300])
def test_a_crowd_in_blocks_is_the_crowd_at_once(n: int) -> None:
    from annotator.pose.oks import oks_matrix

    rng = np.random.default_rng(n)
    keypoints, areas = rng.uniform(0, 200, (n, 17, 2)), rng.uniform(1e3, 1e5, n)
    whole = oks_matrix(keypoints, areas, keypoints, areas, SIGMAS)
    np.testing.assert_allclose(oks_between(keypoints, areas, SIGMAS), whole, atol=1e-6)
