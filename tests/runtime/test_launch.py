"""The end of a run: what a start that found all shards committed still has to do, and to say."""

from __future__ import annotations

import errno
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from annotator.cli.run_report import describe
from annotator.errors import ItemError, RunFailed, UserError
from annotator.models.sources import ModelSource
from annotator.privacy.forget import forget
from annotator.runtime import launch
from annotator.runtime.job import Job, ShardTask
from annotator.runtime.journal import Journal, read_lives
from annotator.runtime.launch import carry_out
from annotator.runtime.progress import ProgressBar
from annotator.runtime.run_report import RunReport
from annotator.sources.plan import build_plan
from annotator.store import run_info
from annotator.store.commit import ShardWriter
from annotator.store.local import LocalStorage
from annotator.store.plan_file import PATH
from annotator.store.records import record_name
from annotator.store.recovery import repair
from annotator.store.schema import PLAN
from annotator.store.status import summarise
from annotator.store.verify import verify


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


@pytest.fixture
def two_shards(make_run, picture, people):
    return make_run([picture(f"{n}.jpg", people([[9, 9, 20, 40]])) for n in range(4)]).commit()


def test_rows_that_are_lost_at_the_end_are_a_failure_of_the_run(two_shards, monkeypatch) -> None:
    """Those of any of its shards; the next start makes them anew."""
    made = two_shards
    lost = made.open().committed()[1].files["instances"].name
    monkeypatch.setattr(
        launch, "_executor", lambda job: lambda job, tasks, report: (made.path / lost).unlink()
    )
    with pytest.raises(RunFailed, match=rf"rows of 1 shards are lost, the first is 1 \({lost} is lost\)"):
        start_again(made, 0)
    info = run_info.read(made.path)
    assert info.state == "failed" and info.failure is not None and "run again" in info.failure
    assert list(repair(made.path)) == [1]
    monkeypatch.setattr(launch, "_executor", lambda job: lambda job, tasks, report: made.commit(1))
    start_again(made, 1)
    assert run_info.read(made.path).state == "finished" and verify(made.path).ok


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"{"), Path.unlink], ids=["torn", "lost"])
def test_a_shard_made_anew_leaves_nothing_of_what_was_lost(two_shards, damage) -> None:
    """No record says whose the visible rows of the lost generation are."""
    made = two_shards
    assert ShardWriter(made.path, 0, 1).commit(*made.tables(0), {}).won
    launch.put_in_order(str(made.path), ProgressBar(quiet=True))
    for generation in (0, 1):
        damage(made.path / record_name(0, generation))
    repair(made.path)
    (task,) = launch.to_make(str(made.path), range(2), made.open().committed())
    assert (task.shard, task.generation, task.only) == (0, 1, None)
    assert ShardWriter(made.path, 0, task.generation).commit(*made.tables(0), {}).won
    launch.put_in_order(str(made.path), ProgressBar(quiet=True))
    report = verify(made.path)
    assert report.ok and report.leftovers == 0


def test_the_end_takes_nothing_from_a_driver_that_seems_dead(two_shards, monkeypatch) -> None:
    """Its clock is behind, or its signs of life are late; it is between its files and their record."""
    made, publish = two_shards, ShardWriter._publish

    def beside(self, record):
        start_again(made)
        assert not any(life.alive for life in read_lives(made.path))
        return publish(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "_publish", beside)
        assert ShardWriter(made.path, 0, 1).commit(*made.tables(0), {}).won
    launch.put_in_order(str(made.path), ProgressBar(quiet=True))
    assert verify(made.path).ok and sum(batch.num_rows for batch in made.open().instances()) == 4


def test_what_drivers_judge_by_goes_with_the_last_one(two_shards, monkeypatch) -> None:
    path = str(two_shards.path)
    log, case = two_shards.path / "intents/a.intent", two_shards.path / "intents/s000000.cases.json"

    def left() -> list[bool]:
        launch.put_in_order(path, ProgressBar(quiet=True))
        return [log.exists(), case.exists()]

    log.parent.mkdir()
    log.touch()
    case.touch()
    with Journal(path, 4, 4):
        assert left() == [True, True]
    names = LocalStorage.names

    def no_logs(self, folder):
        if folder == "logs":
            raise OSError(errno.EIO, "Input/output error", folder)
        return names(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "names", no_logs)
        start_again(two_shards)
        assert run_info.read(path).state == "finished" and left() == [True, True]
    assert left() == [False, False]


def test_a_storage_that_fails_while_tidying_up_is_a_failure_that_running_again_mends(
    two_shards, monkeypatch
) -> None:
    left = two_shards.path / "images" / f"s000000-{'0' * 16}.parquet"
    left.write_bytes(b"PAR1")

    def failing(self, name):
        raise OSError(errno.EIO, "Input/output error", name)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "remove", failing)
        with pytest.raises(RunFailed, match=rf"{left.name} failed: .*Input/output error.* run again"):
            start_again(two_shards)
    info = run_info.read(two_shards.path)
    assert info.state == "failed" and info.failure is not None and "Input/output error" in info.failure
    start_again(two_shards)
    assert run_info.read(two_shards.path).state == "finished" and not left.exists()


@pytest.mark.parametrize("listed", ["a folder", "names"])
def test_after_something_was_forgotten_a_start_goes_on_or_says_what_does(
    listed, tmp_path, make_run, picture, monkeypatch
) -> None:
    """The same command goes on while it lists the forgotten picture; then only `annotator retry` can."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    names = [folder / f"{number}.jpg" for number in range(6)]
    for name in names:
        name.touch()
    made = make_run([picture(name.name) for name in names])
    settings = made.open().info.run_config
    shutil.rmtree(made.path)

    def start() -> None:
        inputs = (
            (str(folder),) if listed == "a folder" else tuple(str(name) for name in names if name.exists())
        )
        config = settings.model_copy(update={"inputs": inputs})
        plan = build_plan(inputs, shard_size=2)
        made.items = [item for shard in plan.shards for item in plan.items(shard)]
        made.provenance = replace(made.provenance, config_sha256=config.sha256(), plan_sha256=plan.sha256)
        model = ModelSource("m", "pose", "", None, "random")
        job = Job(config, str(made.path), model, None, made.provenance)
        launch.begin(job, plan, "", ProgressBar(quiet=True))

    def damage_plan() -> None:
        file = made.path / PATH
        names = pq.ParquetFile(file).metadata.row_group(0).column(PLAN.get_field_index("file_name"))
        data = bytearray(file.read_bytes())
        data[names.data_page_offset + names.total_compressed_size - 4] ^= 0xFF
        file.write_bytes(data)

    def damage() -> None:
        file = made.path / made.open().committed()[2].files["images"].name
        file.write_bytes(file.read_bytes()[:-5])

    monkeypatch.setattr(
        launch, "_executor", lambda job: lambda job, tasks, report: made.commit(*[t.shard for t in tasks])
    )
    start()
    damage_plan()
    assert not verify(made.path).ok
    start()
    assert verify(made.path).ok
    forget(str(made.path), ["1.jpg"])
    damage()
    start()
    assert verify(made.path).ok
    damage()
    names[1].unlink()
    with pytest.raises(UserError, match=r"`annotator retry` does.*:\n  inputs: 5 planned before, 5 now"):
        start()
