"""Whom a reviewer looks at first, and whom only on demand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from annotator.quality.signals import measured
from annotator.review import decisions, views
from annotator.review.load import load
from annotator.review.progress import progress
from annotator.review.risk import assess
from annotator.skeletons import COCO_17
from annotator.store import reviews
from tests.conftest import MadeRun, Picture, poses_of

BOXES = [[10, 10, 60, 200], [100, 10, 60, 200], [200, 10, 60, 200]]


def doubted(path: Path, scores: list[list[float]]) -> MadeRun:
    """A run with people of these scores in each picture, not all of whom are likely there."""
    people = [measured(poses_of(BOXES[: len(of)], scores=of), COCO_17, None) for of in scores]
    return MadeRun(path, [Picture(f"{n}.png", of, size=(320, 240)) for n, of in enumerate(people)], 2)


def test_who_is_likely_nobody_has_no_rank_and_needs_no_review(tmp_path) -> None:
    run = doubted(tmp_path / "run", [[0.9, 0.05, 0.6], [0.1], [0.7, 0.8]]).commit()
    risk = assess(run.open())
    assert risk.doubtful.tolist() == [False, True, False, True, False, False]
    assert np.isnan(risk.risk[risk.doubtful]).all()
    assert np.argsort(-risk.risk[~risk.doubtful]).tolist() == [1, 2, 3, 0]
    # The worst 30% of the four who are ranked.
    assert risk.needs_review.tolist() == [False, False, True, False, False, False]


def test_a_run_with_nobody_but_phantoms_is_ranked(tmp_path) -> None:
    risk = assess(doubted(tmp_path / "run", [[0.1], [0.05]]).commit().open())
    assert risk.doubtful.all() and not risk.needs_review.any()


@pytest.fixture
def dataset(fo, place):
    """Pictures of somebody and a phantom, of a phantom alone, and of two people."""
    run = doubted(place.root / "run", [[0.9, 0.05], [0.1], [0.7, 0.8]]).commit()
    return fo.load_dataset(load(run.open(), place, quiet=True).dataset)


def test_views_show_whoever_is_likely_there_and_the_others_apart(dataset) -> None:
    def shown(name: str) -> dict[str, list]:
        view = dataset.load_saved_view(name)
        paths = ("people.detections", "keypoints.keypoints")
        return {path: view.values(f"{path}.person") for path in paths}

    phantom, alone = 2, 1 << 12 | 1
    others = [2 << 12 | 1, 2 << 12 | 2]
    for name in (views.WORST, views.UNDECIDED):
        assert set(map(repr, shown(name).values())) == {repr([others, [1]])}
    assert shown(views.DOUBTED)["keypoints.keypoints"] == [[phantom], [alone]]
    # Lines can be edited: no view is without some of them.
    poses = dataset.load_saved_view(views.WORST).values("poses.polylines.person")
    assert poses == [others, [1, phantom]]
    assert (progress(dataset).people, progress(dataset).to_review) == (3, 1)
    assert dataset.match({"index": 1}).first().risk is None

    decisions.decide(dataset, [phantom], reviews.ACCEPTED)
    decisions.decide(dataset, [alone], reviews.SENT_BACK)
    assert shown(views.WORST)["keypoints.keypoints"] == [others, [1, phantom]]
    assert shown(views.SENT_BACK)["keypoints.keypoints"] == [[alone]]
    assert (progress(dataset).people, progress(dataset).decided) == (5, 2)
