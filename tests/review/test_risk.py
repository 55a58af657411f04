"""Whom a reviewer looks at first, and whom only on demand."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from annotator.quality.signals import measured
from annotator.review import decisions, views
from annotator.review.lines import draw
from annotator.review.load import load
from annotator.review.mirror import mirror_of, to_fractions
from annotator.review.progress import progress
from annotator.review.pull import pull
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
    assert np.isnan(risk.risk).tolist() == [False, True, False, True, False, False]
    assert np.argsort(-risk.risk[np.isfinite(risk.risk)]).tolist() == [1, 2, 3, 0]
    # The worst 30% of the four who are ranked.
    assert risk.needs_review.tolist() == [False, False, True, False, False, False]


def test_a_run_with_nobody_but_phantoms_is_ranked(tmp_path) -> None:
    risk = assess(doubted(tmp_path / "run", [[0.1], [0.05]]).commit().open())
    assert np.isnan(risk.risk).all() and not risk.needs_review.any()


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
    assert (progress(dataset).people, progress(dataset).to_review) == (3, 1)
    assert dataset.match({"index": 1}).first().risk is None

    decisions.decide(dataset, [phantom], reviews.ACCEPTED)
    decisions.decide(dataset, [alone], reviews.SENT_BACK)
    assert shown(views.WORST)["keypoints.keypoints"] == [others, [1, phantom]]
    assert shown(views.SENT_BACK)["keypoints.keypoints"] == [[alone]]
    assert (progress(dataset).people, progress(dataset).decided) == (5, 2)


def test_somebody_in_doubt_has_a_line_once_she_is_accepted(fo, place) -> None:
    """No view can be without lines that the dataset has: Annotate would be full of nobody."""
    run = doubted(place.root / "run", [[0.05, 0.9, 0.1]]).commit()
    dataset = fo.load_dataset(load(run.open(), place, quiet=True).dataset)

    def lines() -> dict[int, list]:
        dataset.reload()
        return {line.person: line.points for line in dataset.first().poses.polylines}

    predicted = mirror_of(COCO_17).to_lines(
        to_fractions(poses_of(BOXES).keypoints.astype(float), np.array((320, 240)))
    )
    assert list(lines()) == [2]
    decisions.decide(dataset, [1], reviews.ACCEPTED)
    for _ in range(2):
        draw(dataset, [1, 2])
        assert list(lines()) == [2, 1]
    assert all(np.allclose(now, of[0]) for now, of in zip(lines()[1], predicted, strict=True))

    sample = dataset.first()
    sample.poses.polylines[1].points[1][0] = (0.5, 0.5)
    sample.save()
    pull(run.open(), place)
    review = reviews.read(run.open())[1]
    assert review.decision == "accepted" and review.moved_joints == (5,)
    # Made anew: whom nobody accepted goes without a line, whoever was corrected keeps hers.
    made_anew(run, doubted(place.root / "other", [[0.06, 0.05, 0.9]]).commit())
    load(run.open(), place, quiet=True)
    assert list(lines()) == [1, 3] and list(lines()[1][1][0]) == [0.5, 0.5]


def made_anew(run: MadeRun, other: MadeRun) -> None:
    """The commits of another model in place of the first one's."""
    for folder in ("commits", "instances", "images"):
        shutil.rmtree(run.path / folder)
        (other.path / folder).rename(run.path / folder)
