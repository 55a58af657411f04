"""Sides exchanged and limbs broken in poses that are known to be right: found, and nobody else accused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from annotator.quality.anatomy import bone_outliers, likely_swap
from annotator.skeletons import COCO_17
from annotator.synth import generate_image
from jobs.planted_errors import labelled_poses, planted_breaks, planted_swaps

# Least share found of each kind: what was measured (docs/quality.md), less what a few dozen people may vary.
SWAPS = {
    "wrists": 0.8, "elbows and wrists": 0.75, "arms with shoulders": 0.85, "ankles": 0.5,
    "knees and ankles": 0.4, "legs with hips": 0.75, "body without face": 0.5,
}  # fmt: skip
BREAKS = {"wrist by 50%": 0.65, "elbow by 50%": 0.7, "ankle by 50%": 0.5, "knee by 50%": 0.8}


@pytest.fixture(scope="module")
def synthetic() -> list[dict[str, Any]]:
    """Some sixty people in small pictures."""
    return [one for index in range(14) for one in generate_image(4, index, (320, 240))[1]]


@pytest.fixture(params=["photographed", "synthetic"])
def people(request) -> tuple[np.ndarray, np.ndarray]:
    """Labelled poses, and how large the people are."""
    if request.param == "synthetic":
        return labelled_poses(request.getfixturevalue("synthetic"))
    truth = request.getfixturevalue("assets").ground_truth
    return labelled_poses(json.loads(truth.read_text())["annotations"])


def test_planted_exchanges_are_found(people) -> None:
    found = planted_swaps(*people)
    assert found["none"][0] <= 1
    for kind, least in SWAPS.items():
        there, planted = found[kind]
        assert planted >= 8 and there >= least * planted, (kind, there, planted)
    # Whoever is turned round altogether is another person's back: no geometry tells that.
    assert found["body and face"][0] == 0


def test_planted_breaks_are_found(people) -> None:
    found = planted_breaks(*people)
    assert found["none"][0] <= 1
    for kind, least in BREAKS.items():
        there, planted = found[kind]
        assert planted >= 20 and there >= least * planted, (kind, there, planted)


def test_of_unknown_joints_nothing_is_said() -> None:
    unknown = np.full((2, 17, 2), np.nan)
    unknown[1, :3] = 5.0
    outliers, swapped = bone_outliers(unknown, COCO_17), likely_swap(unknown, None, COCO_17)
    assert outliers is not None and outliers.tolist() == [0, 0]
    assert swapped is not None and swapped.tolist() == [False, False]
    nobody = likely_swap(np.zeros((0, 17, 2)), np.zeros((0, 2, 17, 2)), COCO_17)
    assert nobody is not None and nobody.shape == (0,)
