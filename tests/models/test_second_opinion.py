"""Two models on the same boxes: agreement is OKS joint by joint, and a cascade asks only whom it must."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from annotator.config import load_config
from annotator.errors import UserError
from annotator.items import GivenBox, Item
from annotator.media.image import Image
from annotator.models.estimator import Estimator
from annotator.models.second_opinion import CascadeRule, SecondOpinion
from annotator.people import Detections, Poses
from annotator.pose.oks import oks_matrix
from annotator.quality.signals import measure, measured
from annotator.runtime.line import Decoded, StageClock, annotate
from annotator.skeletons import COCO_17
from annotator.store.rows import RowBuilder
from annotator.store.schema import ModelRecord, Provenance
from annotator.store.visibility import ScoreThresholds

IMAGE = np.zeros((4, 4, 3), np.uint8)
SIGMAS = np.array(COCO_17.sigmas)
RULE = CascadeRule(bbox_score=0.3, pose_score=0.6, flip_oks=0.8)


@dataclass
class Model(Estimator):
    """Puts joints on the diagonal of each box, `shift` pixels to the right, with the box's score."""

    shift: float = 0.0
    score: float | None = None
    halves: float | None = None
    entropy: float | None = 1.0
    skeleton = COCO_17
    input_size = (192, 256)
    batch_people: int = 32
    asked: list[int] = field(default_factory=list)
    calls: int = 0

    def estimate(self, images, boxes) -> list[Poses]:
        self.calls += 1
        self.asked += [len(one) for one in boxes]
        return [self._poses(one) for one in boxes]

    def _poses(self, people: Detections) -> Poses:
        n = len(people)
        xywh = people.bboxes.copy()
        xywh[:, 2:] -= xywh[:, :2]
        along = np.linspace(0, 1, 17)[None, :, None]
        points = (xywh[:, None, :2] + along * xywh[:, None, 2:] + [self.shift, 0]).astype(np.float32)
        scores = np.repeat(people.scores[:, None], 17, axis=1) if self.score is None else None
        return Poses(
            xywh,
            people.scores,
            points,
            np.full((n, 17), self.score, np.float32) if scores is None else scores,
            people.scores,
            keypoint_entropies=None if self.entropy is None else np.full((n, 17), self.entropy, np.float32),
            halves=None if self.halves is None else np.stack([points, points + self.halves], axis=1),
        )


def boxes(*scores: float) -> Detections:
    corners = [[10.0 * i, 5.0, 10.0 * i + 40, 105.0] for i in range(len(scores))]
    return Detections(np.array(corners).reshape(-1, 4), np.array(scores, np.float32))


def test_agreement_is_oks_and_nothing_is_averaged() -> None:
    first, second = Model(), Model(shift=4.0)
    both = SecondOpinion(first, second, ("a", "b"))  # type: ignore[arg-type]
    given = [boxes(0.9, 0.2), boxes(), boxes(0.5)]
    found = both.estimate([IMAGE] * 3, given)
    plain, others = (Model(shift).estimate([IMAGE] * 3, given) for shift in (0.0, 4.0))
    for poses, alone, other in zip(found, plain, others, strict=True):
        assert np.array_equal(poses.keypoints, alone.keypoints) and np.array_equal(poses.scores, alone.scores)
        areas = poses.bboxes[:, 2] * poses.bboxes[:, 3]
        expected = np.diag(oks_matrix(alone.keypoints, areas, other.keypoints, areas, SIGMAS))
        assert poses.second_oks == pytest.approx(expected, abs=1e-6)
        assert poses.keypoint_agreement is not None and poses.keypoint_agreement.shape == (len(poses), 17)
        assert poses.posed_by is None
    # The nose is held to a tighter place than the hip.
    agreement = found[0].keypoint_agreement
    assert agreement is not None and agreement[0, 0] < agreement[0, 11] < 1
    assert both.take_figures() | {"first_seconds": 0, "second_seconds": 0} == {
        "first_people": 3,
        "second_people": 3,
        "first_seconds": 0,
        "second_seconds": 0,
    }
    assert both.take_figures()["first_people"] == 0


def test_a_cascade_asks_for_doubtful_people_who_are_there() -> None:
    first, second = Model(), Model(shift=4.0, score=0.95, entropy=None)
    both = SecondOpinion(first, second, ("a", "b"), RULE)  # type: ignore[arg-type]
    found, nobody = both.estimate([IMAGE] * 2, [boxes(0.9, 0.5, 0.2), boxes(0.7)])
    # Sure; not sure; not sure, but hardly a person.
    assert found.posed_by is not None and found.posed_by.tolist() == ["a", "b", "a"]
    assert second.asked == [1]
    assert found.second_oks is not None and np.isnan(found.second_oks).tolist() == [True, False, True]
    assert found.keypoints[1, 0, 0] == pytest.approx(10 + 4) and found.keypoints[0, 0, 0] == 0
    assert found.keypoint_scores[1, 0] == pytest.approx(0.95) and found.bbox_scores[1] == pytest.approx(0.5)
    assert found.keypoint_entropies is not None
    assert np.isnan(found.keypoint_entropies[:, 0]).tolist() == [False, True, False]
    assert nobody.posed_by is not None and nobody.posed_by.tolist() == ["a"]


def test_halves_of_the_flip_test_that_differ_are_doubt() -> None:
    sure = [boxes(0.9, 0.9)]
    for halves, asked in ((0.5, []), (30.0, [2])):
        second = Model()
        SecondOpinion(Model(halves=halves), second, ("a", "b"), RULE).estimate([IMAGE], sure)  # type: ignore[arg-type]
        assert second.asked == asked


def test_without_a_flip_test_its_agreement_is_unknown_not_bad() -> None:
    first, second = Model(halves=0.5), Model(score=0.95, entropy=None)
    both = SecondOpinion(first, second, ("a", "b"), RULE)  # type: ignore[arg-type]
    [found] = both.estimate([IMAGE], [boxes(0.9, 0.5)])
    signals = measure(found, COCO_17, (192, 256))
    assert signals.flip_oks is not None and signals.keypoint_flip_oks is not None
    assert signals.entropy is not None
    assert signals.flip_oks[0] > 0.9 and np.isnan(signals.flip_oks[1])
    assert np.isnan(signals.keypoint_flip_oks[1]).all() and np.isnan(signals.entropy[1])


@pytest.mark.parametrize(
    ("column", "told"), [("entropy", {"entropy": None}), ("flip_oks", {"entropy": 1.0, "halves": None})]
)
def test_what_only_the_second_tells_is_null_for_those_it_was_not_asked_about(column: str, told: dict) -> None:
    first, second = Model(**told), Model(score=0.95, halves=0.5)
    both = SecondOpinion(first, second, ("a", "b"), RULE)  # type: ignore[arg-type]
    rows = RowBuilder(
        COCO_17, ScoreThresholds(), Provenance(ModelRecord("a"), None, None, "0" * 64, "1" * 64)
    )
    for index, poses in enumerate(both.estimate([IMAGE] * 3, [boxes(0.9), boxes(0.5, 0.9), boxes(0.2)])):
        rows.add(Item(index, index, "", "", 0), (200, 200), measured(poses, COCO_17, (192, 256)))
    table = rows.tables()[1]
    assert table["posed_by"].to_pylist() == ["a", "b", "a", "a"]
    assert [value is None for value in table[column].to_pylist()] == [True, False, True, True]


def test_a_second_model_that_fails_leaves_the_first_ones_pose() -> None:
    both = SecondOpinion(Model(), Model(shift=np.nan), ("a", "b"), RULE)  # type: ignore[arg-type]
    [found] = both.estimate([IMAGE], [boxes(0.5)])
    assert np.isfinite(found.keypoints).all() and found.posed_by is not None and found.posed_by[0] == "a"
    assert found.second_oks is not None and np.isnan(found.second_oks[0])


def test_signs_of_life_come_from_both() -> None:
    first, second = Model(), Model()
    both = SecondOpinion(first, second, ("a", "b"))  # type: ignore[arg-type]
    heard = []
    both.on_batch = lambda: heard.append(1)
    first.on_batch()
    second.on_batch()
    assert len(heard) == 2


def test_people_of_several_batches_are_posed_together() -> None:
    first, second = Model(batch_people=4), Model(batch_people=8)
    both = SecondOpinion(first, second, ("a", "b"))  # type: ignore[arg-type]
    given = (GivenBox((10.0, 5, 40, 100), 0.9),)
    entries = [
        (Item(i, i, f"/{i}", f"{i}", 0, given), Decoded(Image(IMAGE, 4, 4), prepared=None)) for i in range(4)
    ]
    outcomes = list(annotate(entries, None, both, 1, StageClock()))
    assert len(outcomes) == 4 and (first.calls, second.calls) == (1, 1)


def test_models_of_other_joints_are_refused() -> None:
    other = Model()
    other.skeleton = replace(COCO_17, name="other", keypoints=("head", *COCO_17.keypoints[1:]))  # type: ignore[misc]
    with pytest.raises(UserError, match="take two models of one skeleton"):
        SecondOpinion(Model(), other, ("a", "b"))  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [{"cascade": True}, {"second_pose_weights": "x.pth"}])
def test_settings_without_a_second_model_are_refused(given: dict) -> None:
    with pytest.raises(UserError, match="needs second_pose"):
        load_config(None, {"inputs": ("x",), "out": "y"} | given, [])
