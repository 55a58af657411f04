"""What a sweep may take: files of attempts that can win no more, and of no other."""

from __future__ import annotations

import os

import pytest

from annotator.store.commit import ShardWriter
from annotator.store.leftovers import DEAD_AFTER, sweep
from annotator.store.records import record_name
from annotator.store.recovery import lost_rows, repair
from annotator.store.verify import verify


@pytest.fixture
def run(make_run, picture, people):
    return make_run([picture(f"{i}.jpg", people([[10, 20, 30, 60]])) for i in range(4)]).commit()


def again(run, shard: int, generation: int) -> None:
    assert ShardWriter(run.path, shard, generation).commit(*run.tables(shard), {}).won


def test_rows_of_a_lost_generation_go_at_once_when_their_shard_was_made_anew(run) -> None:
    """By an older version, as the first generation; who reads the folder sees both."""
    again(run, 0, 1)
    sweep(run.path)
    next((run.path / "instances").glob("s000000-g001-*")).unlink()
    assert set(repair(run.path)) == {0}
    run.commit(0)
    sweep(run.path)
    report = verify(run.path)
    assert report.ok and report.leftovers == 0


def test_a_link_that_leads_nowhere_goes_as_the_file_would(run) -> None:
    """Of rows that were put on another disk, which is lost."""
    rows = next((run.path / "images").glob("s000000-*"))
    rows.unlink()
    rows.symlink_to(run.path / "nowhere")
    assert set(repair(run.path)) == {0}
    run.commit(0)
    sweep(run.path)
    assert not rows.is_symlink() and verify(run.path).ok


def test_they_go_too_when_what_they_replaced_stands_again(run) -> None:
    again(run, 0, 1)
    next((run.path / "instances").glob("s000000-g001-*")).unlink()
    assert set(repair(run.path)) == {0}
    (problem,) = verify(run.path).problems
    assert problem.kind == "leftover" and "swept away" in problem.message
    sweep(run.path)
    assert verify(run.path).ok and verify(run.path).leftovers == 0


def test_a_good_record_on_its_way_back_condemns_nobody(run) -> None:
    """Who puts a record aside looks at it after it has moved, and takes it back if it is good."""
    again(run, 0, 1)
    record, aside = run.path / record_name(0, 1), run.path / f"commits/.s000000-{'a' * 16}.corrupt"
    record.rename(aside)
    sweep(run.path)
    assert sum("-g001-" in path.name for path in run.path.glob("i*/s000000-*")) == 2


def test_rows_of_a_retry_that_was_killed_go_with_the_next_retry(run) -> None:
    """Nothing tells it from one that is at work: who says so waits, or beats it."""
    (run.path / "images" / f"s000000-g001-{'0' * 16}.parquet").write_bytes(b"PAR1")
    sweep(run.path)
    (problem,) = verify(run.path).problems
    assert problem.kind == "leftover" and "retry again" in problem.message
    again(run, 0, 1)
    sweep(run.path)
    assert verify(run.path).ok and verify(run.path).leftovers == 0


@pytest.mark.parametrize(("age", "stays"), [(0, True), (DEAD_AFTER - 60, True), (DEAD_AFTER + 60, False)])
def test_attempts_at_a_later_generation_are_over_once_they_are_old(run, age, stays) -> None:
    left = run.path / "images" / f"s000000-g001-{'0' * 16}.parquet"
    left.write_bytes(b"PAR1")
    stamp = left.stat().st_mtime - age
    os.utime(left, (stamp, stamp))
    removed = sweep(run.path)
    assert (left.exists(), removed == []) == (stays, stays)
    assert not list((run.path / "commits").glob(".*"))


def test_an_attempt_that_slept_too_long_costs_no_rows(run, monkeypatch) -> None:
    """It wins without its files; what it replaced is still there, and stands again."""
    publish = ShardWriter._publish

    def slept(self, record):
        for path in run.path.rglob("*-g001-*.parquet"):
            os.utime(path, (0, 0))
        assert len(sweep(run.path)) == 2
        return publish(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "_publish", slept)
        again(run, 0, 1)
    assert sweep(run.path) == []
    assert list(lost_rows(run.path, run.open().committed())) == [0]
    assert list(repair(run.path)) == [0]
    sweep(run.path)
    assert verify(run.path).ok


def test_rows_that_were_replaced_meanwhile_are_not_lost(run) -> None:
    before = run.open().committed()
    again(run, 0, 1)
    sweep(run.path)
    assert lost_rows(run.path, before) == {}
