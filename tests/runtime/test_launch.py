"""The end of a run: what a start that found all shards committed still has to do, and to say."""

from __future__ import annotations

import pytest

from annotator.cli.run_report import describe
from annotator.errors import ItemError, RunFailed, UserError
from annotator.models.sources import ModelSource
from annotator.privacy.forget import forget
from annotator.runtime import launch
from annotator.runtime.job import Job, ShardTask
from annotator.runtime.journal import read_lives
from annotator.runtime.launch import carry_out
from annotator.runtime.progress import ProgressBar
from annotator.runtime.run_report import RunReport
from annotator.store import run_info
from annotator.store.status import summarise


def start_again(made, *shards: int) -> RunReport:
    """As the same command once more, with these shards left."""
    config = run_info.read(made.path).run_config
    job = Job(config, str(made.path), ModelSource("m", "pose", "", None, "random"), None, made.provenance)
    return carry_out(
        job, [ShardTask(shard) for shard in shards], summarise(made.path), ProgressBar(quiet=True)
    )


def test_a_start_that_only_has_tracks_left_finishes_the_run(film_run, walkers) -> None:
    """The disk was full while people were followed, and has room again."""
    film = [walkers(20, [(20.0, 100.0, 8.0)]), ItemError("decode", "unreadable", "no film")]
    made = film_run(film).commit()
    run_info.update(made.path, state="failed", failure="the disk is full", finished_at="2025-01-01")
    ended = start_again(made)
    info = run_info.read(made.path)
    assert (info.state, info.failure) == ("finished", None) and info.finished_at != "2025-01-01"
    assert made.rows()["track_id"].null_count == 0
    assert (ended.images, ended.exit_code) == (0, 3) and ": done." in describe(ended)

    idle = start_again(made)
    assert run_info.read(made.path) == info
    assert idle.exit_code == 0 and "nothing left to do" in describe(idle)


@pytest.mark.parametrize("left", [(), (0, 1)])
def test_a_driver_is_seen_at_work_until_its_last_write(film_run, walkers, monkeypatch, left) -> None:
    """While it follows people, sweeps and says so, nothing can be forgotten under its hands."""
    made = film_run([walkers(20, [(20.0, 100.0, 8.0)])])
    if not left:
        made.commit()
    steps = []

    def guarded(name, step):
        def call(*arguments, **more):
            if summarise(made.path).complete:
                with pytest.raises(UserError, match="a driver is at work"):
                    forget(str(made.path), ["0.mp4"])
                steps.append(name)
            return step(*arguments, **more)

        return call

    for name in ("follow_run", "sweep"):
        monkeypatch.setattr(launch, name, guarded(name, getattr(launch, name)))
    monkeypatch.setattr(run_info, "update", guarded("update", run_info.update))
    monkeypatch.setattr(
        launch, "_executor", lambda job: lambda job, tasks, report: made.commit(*[t.shard for t in tasks])
    )
    start_again(made, *left)
    assert steps == ["follow_run", "sweep", "update"]
    assert [life.ended for life in read_lives(made.path)] == ["finished"]
    assert run_info.read(made.path).state == "finished"
    monkeypatch.undo()
    forget(str(made.path), ["0.mp4"])

    # Nothing left to do, nothing said.
    start_again(made)
    assert len(read_lives(made.path)) == 1


def test_shards_that_are_missing_at_the_end_are_a_failure_of_the_run(film_run, walkers, monkeypatch) -> None:
    made = film_run([walkers(20, [(20.0, 100.0, 8.0)])])
    monkeypatch.setattr(launch, "_executor", lambda job: lambda job, tasks, report: made.commit(0))
    with pytest.raises(RunFailed, match="1 shards are not committed, the first is 1"):
        start_again(made, 0, 1)
    info = run_info.read(made.path)
    assert info.state == "failed" and info.failure is not None and "not committed" in info.failure
    assert [life.ended for life in read_lives(made.path)] == [info.failure]
