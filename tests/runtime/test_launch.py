"""The end of a run: what a start that found all shards committed still has to do, and to say."""

from __future__ import annotations

from annotator.cli.run_report import describe
from annotator.errors import ItemError
from annotator.models.sources import ModelSource
from annotator.runtime.job import Job
from annotator.runtime.launch import carry_out
from annotator.runtime.progress import ProgressBar
from annotator.runtime.run_report import RunReport
from annotator.store import run_info
from annotator.store.status import summarise


def start_again(made) -> RunReport:
    """As the same command once more, when no shard is left."""
    config = run_info.read(made.path).run_config
    job = Job(config, str(made.path), ModelSource("m", "pose", "", None, "random"), None, made.provenance)
    return carry_out(job, [], summarise(made.path), ProgressBar(quiet=True))


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
