"""What is counted and who is chosen, against counting by hand, in any split into shards."""

from __future__ import annotations

import numpy as np
import pytest

from annotator.errors import ItemError, UserError
from annotator.quality.signals import measured
from annotator.report.figures import Histogram, collect
from annotator.report.picks import People, Ranking, scatter
from annotator.report.signals import collect_signals
from annotator.skeletons import COCO_17


def crowd(people, rng, n):
    """Poses of n people with scores of their own."""
    boxes = np.column_stack([rng.uniform(0, 300, (n, 2)), rng.uniform(20, 170, (n, 2))])
    return people(boxes, scores=rng.uniform(0.05, 1, n))


@pytest.fixture
def pictures(picture, people):
    rng = np.random.default_rng(3)
    made = [picture(f"{n}.jpg", crowd(people, rng, n % 4)) for n in range(30)]
    for n, kind in ((4, "truncated"), (9, "truncated"), (17, "too_large")):
        made[n] = picture(f"{n}.jpg", ItemError("decode", kind, f"message {n}"), size=None)
    return made


def test_counts_are_those_of_the_rows(make_run, pictures):
    figures = collect(make_run(pictures, shard_size=7).commit().open())
    found = [p.people for p in pictures if not isinstance(p.people, ItemError)]
    boxes = np.concatenate([p.bbox_scores for p in found])
    assert figures.images == {
        "ok": sum(len(p) > 0 for p in found),
        "empty": sum(len(p) == 0 for p in found),
        "error": 3,
    }
    assert figures.people == len(boxes)
    assert figures.undoubted == (boxes >= 0.3).sum()
    assert figures.peopled == sum((p.bbox_scores >= 0.3).any() for p in found)
    assert figures.crowd.total == len(found)
    assert figures.crowd.counts[:4].tolist() == [sum(len(p) == n for p in found) for n in range(4)]
    heights = np.concatenate([p.bboxes[:, 3] for p in found])
    expected = [((heights >= a) & (heights < b)).sum() for a, b in ((0, 16), (16, 32), (32, 64), (64, 128))]
    assert figures.heights.counts[:4].tolist() == expected
    assert [(e.kind, e.count, e.examples) for e in figures.errors] == [
        ("decode/truncated", 2, [("4.jpg", "message 4"), ("9.jpg", "message 9")]),
        ("decode/too_large", 1, [("17.jpg", "message 17")]),
    ]


def test_joints_are_judged_on_undoubted_people(make_run, picture, people):
    doubtful = people([[0, 0, 50, 90]], scores=[0.2])
    sure = people([[0, 0, 50, 90], [60, 0, 50, 90]], scores=[0.4, 0.9])
    sure.keypoint_scores[:, 3] = [0.1, 0.5]
    figures = collect(make_run([picture("a.jpg", doubtful), picture("b.jpg", sure)]).commit().open())
    ear = figures.joints[3]
    assert ear.name == "left ear"
    assert ear.mean == pytest.approx(0.3)
    assert ear.by_v == (0, 1, 1)
    assert ear.scores.total == 2


def test_whom_the_run_doubts_is_not_shown_as_somebody(make_run, picture, people):
    """A box of 0.4 around joints of 0.02 is likely nobody; a pose found twice counts once."""
    phantom = people([[0, 0, 50, 90]], scores=[0.4])
    phantom.keypoint_scores[:] = 0.02
    twice = people([[0, 0, 50, 90], [0, 0, 50, 91]], scores=[0.9, 0.8])
    made = [
        picture(name, measured(poses, COCO_17, (192, 256)))
        for name, poses in (("phantom.jpg", phantom), ("twice.jpg", twice))
    ]
    run = make_run(made).commit().open()
    figures = collect(run)
    assert (figures.people, figures.undoubted, figures.peopled) == (3, 1, 1)
    (shown,) = figures.pictures
    assert shown.image == 1 and len(shown.people) == len(shown.bboxes) == 1
    assert [person.score for person in figures.groups["random"]] == pytest.approx([0.9])
    signals = collect_signals(run, None, None)
    assert (signals.shown, signals.sure) == (1, 1)
    assert [of for *_, of in signals.flags] == [3, 3, 3, 1, 1, 1]


def test_groups_hold_the_right_people(make_run, pictures):
    run = make_run(pictures, shard_size=7).commit().open()
    figures = collect(run)
    rows = [row for batch in run.instances() for row in batch.to_pylist()]
    best_of: dict[int, float] = {}
    for row in rows:
        best_of[row["image_id"]] = max(best_of.get(row["image_id"], 0), row["score"])
    expected = sorted(best_of.values(), reverse=True)[:12]
    assert [person.score for person in figures.groups["best"]] == pytest.approx(expected)
    for name in ("random", "doubtful"):
        assert len(figures.groups[name]) == 12
        assert all(person.bbox_score >= 0.3 for person in figures.groups[name])
    for group in figures.groups.values():
        assert len({person.image for person in group}) == len(group), "one person a picture"
    assert all(shown.people for shown in figures.pictures)


def test_the_choice_does_not_depend_on_shards(make_run, pictures, tmp_path):
    chosen = []
    for shard_size in (3, 30):
        made = make_run(pictures, shard_size=shard_size)
        figures = collect(made.commit().open())
        ids = {name: [person.id for person in group] for name, group in figures.groups.items()}
        chosen.append((ids, [(shown.image, len(shown.people)) for shown in figures.pictures]))
        made.path.rename(tmp_path / f"by-{shard_size}")
    assert chosen[0] == chosen[1]


def test_a_run_without_commits_says_so(make_run, picture):
    with pytest.raises(UserError, match="nothing was committed"):
        collect(make_run([picture("a.jpg")]).open())


def test_a_run_without_anybody(make_run, picture):
    figures = collect(make_run([picture("a.jpg"), picture("b.jpg")]).commit().open())
    assert figures.people == 0
    assert figures.images == {"empty": 2}
    assert figures.groups == {"best": [], "doubtful": [], "worst": [], "random": []}
    assert figures.joint_v == (0, 0, 0)


def test_histogram_edges_and_values_beyond():
    histogram = Histogram.of_scores(4)
    histogram.add(np.array([-0.1, 0.0, 0.24, 0.25, 0.75, 1.0, 1.7]))
    assert histogram.counts.tolist() == [3, 1, 0, 3]


def of_sources(sources):
    """A batch of one person a picture, with sources as given."""
    n = len(sources)
    return People(
        ids=np.arange(n) + 100, images=np.arange(n), sources=np.array(sources), bboxes=np.zeros((n, 4)),
        keypoints=np.zeros((n, 1, 3)), scores=np.zeros(n), bbox_scores=np.zeros(n),
        joint_scores=np.zeros((n, 1)), undoubted=np.ones(n, bool),
    )  # fmt: skip


def test_one_film_does_not_fill_the_page():
    ranking = Ranking(6)
    # Seven frames of a film are better than any of the pictures.
    ranking.add(of_sources([-5] * 7 + [7, 8, 9, 10]), np.arange(11.0))
    assert [person.image for person in ranking.people()] == [0, 1, 2, 7, 8, 9]


def test_a_film_alone_fills_the_page():
    ranking = Ranking(6)
    ranking.add(of_sources([-5] * 9), np.arange(9.0)[::-1])
    assert [person.image for person in ranking.people()] == [8, 7, 6, 5, 4, 3]


def test_scatter_is_even():
    numbers = scatter(np.arange(20_000))
    assert (abs(np.histogram(numbers, 10, (0, 1))[0] - 2000) < 200).all()
    assert abs(np.corrcoef(numbers, np.arange(20_000))[0, 1]) < 0.03
