"""The evaluation of real predictions on the real photos: hotcoco and pycocotools say the same."""

from __future__ import annotations

import pytest

from annotator.evaluate.evaluation import evaluate
from annotator.store.reader import Run


@pytest.mark.parametrize("made", ["run_with_boxes", "run_with_detector"])
def test_hotcoco_equals_pycocotools(request, assets, made: str) -> None:
    run = Run(request.getfixturevalue(made))
    fast = evaluate(run, assets.ground_truth)
    oracle = evaluate(run, assets.ground_truth, engine="pycocotools")
    for part in ("keypoints", "bbox", "ap_if_corrected"):
        assert fast[part] == pytest.approx(oracle[part], abs=1e-6), part
    for ours, theirs in zip(fast["sizes"], oracle["sizes"], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_given_boxes_miss_nobody_and_the_detector_does(run_with_boxes, run_with_detector, assets) -> None:
    given = evaluate(Run(run_with_boxes), assets.ground_truth)["labelled_people"]
    detected = evaluate(Run(run_with_detector), assets.ground_truth)["labelled_people"]
    assert given["labelled"] == detected["labelled"] == 68
    assert given["missed"] == 0 and detected["missed"] > 0
    for people in (given, detected):
        assert people["found"] + people["pose_wrong"] + people["missed"] == people["labelled"]
        assert sum(people["oks_histogram"]) == people["found"] + people["pose_wrong"]
