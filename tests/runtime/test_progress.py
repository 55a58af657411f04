"""The tally behind the bar: each shard counts once, whatever order its reports come in."""

from __future__ import annotations

from annotator.runtime.job import Progress
from annotator.runtime.progress import ProgressBar, Tally


def test_running_shards_add_up_and_commits_settle():
    tally = Tally(done=10, people=5, errors=1)
    tally.add(Progress(0, images=4, people=2))
    tally.add(Progress(1, images=3, errors=1))
    assert (tally.images, tally.people, tally.errors) == (17, 7, 2)
    tally.add(Progress(0, images=8, people=6, committed=True))
    tally.add(Progress(0, images=5, people=3))
    assert (tally.images, tally.people, tally.errors) == (21, 11, 2)


def test_a_shard_that_starts_again_starts_at_zero():
    tally = Tally()
    tally.add(Progress(3, images=100, people=9))
    tally.add(Progress(3, images=2, people=1))
    assert (tally.images, tally.people) == (2, 1)


def test_a_shard_committed_twice_counts_once():
    tally = Tally()
    for _ in range(2):
        tally.add(Progress(3, images=100, people=9, errors=2, committed=True))
    assert (tally.images, tally.people, tally.errors) == (100, 9, 2)


def test_a_quiet_bar_hears_everything_and_says_nothing(capsys):
    with ProgressBar(quiet=True) as bar:
        bar.stage("loading")
        for name in ("pose.pth", "detector.pth"):
            for have in (0, 5, 10):
                bar.download(name, have, 10)
        bar.begin(4, 1, 0, 0)
        bar.report(Progress(0, images=3, people=2))
    assert capsys.readouterr() == ("", "")
