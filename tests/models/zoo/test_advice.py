"""Advice rests on the catalogue's own figures, respects the memory, and names what was not measured."""

from __future__ import annotations

import pytest

from annotator.errors import UserError
from annotator.models.zoo.advice import GOALS, advise
from annotator.models.zoo.catalogue import find_detector, find_pose, pose_models


@pytest.mark.parametrize("goal", GOALS)
def test_every_goal_has_an_answer_that_can_be_run(goal) -> None:
    advice = advise(goal)
    data = advice.to_dict()
    words = advice.command.split()
    assert find_pose(words[words.index("--pose") + 1]).name == data["pose"]["name"]
    if "--detector" in words:
        assert find_detector(words[words.index("--detector") + 1]).name == data["detector"]["name"]
    assert data["pose"]["gmacs_as_run"] and data["pose"]["memory_gib_estimated"]
    assert any("GPU" in point for point in data["not_measured"])
    assert max(map(len, advice.text().splitlines())) <= 120


def test_accuracy_is_the_highest_published() -> None:
    best = max(pose_models().values(), key=lambda entry: entry.results.get("COCO", {}).get("AP", 0))
    advice = advise("accuracy")
    entry = advice.chosen.card.entry
    # The same network with a simpler head is published with 0.001 more.
    assert entry.backbone == best.backbone and (entry.ap or 0) >= best.results["COCO"]["AP"] - 0.001
    assert advice.flip
    cost = advice.chosen.card.cost
    assert cost and cost.macs is not None and cost.attention_macs is not None
    assert advice.chosen.gmacs == pytest.approx(2 * (cost.macs + cost.attention_macs) / 1e9)


def test_less_memory_means_smaller_batches_then_smaller_models() -> None:
    batches, names = [], []
    for gigabytes in (24, 5, 4.3, 3.5):
        advice = advise("accuracy", gigabytes)
        assert (advice.chosen.memory or 0) <= gigabytes * 1e9
        batches.append(advice.chosen.batch)
        names.append(advice.chosen.card.shortest_name)
    assert names[0] == "vitpose-h" and names[-1] != "vitpose-h" and batches[0] == 32 and min(batches) < 32
    assert "vitpose-h is the choice without a limit" in advise("accuracy", 3.5).reasons[0]
    with pytest.raises(UserError, match="fits 1 GB"):
        advise("accuracy", 1)
    with pytest.raises(UserError, match="--gpu"):
        advise("accuracy", 0)


def test_what_measurement_changes() -> None:
    corrections = " ".join(advise("accuracy").corrections)
    assert "swin-l costs 88.1 GMACs a crop, where the survey says 53.6" in corrections
    assert "252 GFLOP a crop" in corrections
    # Attention counted or not, ViTPose agrees.
    assert "vitpose-h costs" not in corrections and "hrnet" not in corrections
    assert any("mobilenetv2" in point for point in advise("edge").corrections)


def test_crowds_do_not_multiply_the_cost() -> None:
    advice = advise("crowd")
    assert advice.detector is None and "--detector" not in advice.command
    assert any("Break-even" in reason and "35" in reason for reason in advice.reasons)
    assert any("0.838 one-stage (rtmo-l)" in reason for reason in advice.reasons)
