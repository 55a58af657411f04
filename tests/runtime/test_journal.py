"""What a start leaves for others: a log, and signs of life that tell a live driver from a dead one."""

from __future__ import annotations

import json

import pytest

from annotator.runtime import journal
from annotator.runtime.job import Progress, WorkerNews
from annotator.runtime.journal import Journal, may_be_at_work, read_lives, read_log
from annotator.store.local import LocalStorage


def test_a_line_a_shard(tmp_path):
    with Journal(tmp_path, total=100, before=0) as log:
        log.hear(Progress(3, images=5))
        log.hear(Progress(3, 24, 31, 1, committed=True, worker="w0", stats={"seconds": 2.5, "host": "a"}))
    (line,) = [line for line in read_log(tmp_path) if line["event"] == "shard"]
    assert (line["shard"], line["images"], line["people"], line["errors"]) == (3, 24, 31, 1)
    assert (line["worker"], line["seconds"], line["host"]) == ("w0", 2.5, "a")


def test_workers_come_and_go(tmp_path):
    with Journal(tmp_path, total=100, before=10) as log:
        log.hear(WorkerNews("w0", "started"))
        log.hear(WorkerNews("w1", "ready", "host/1", "pid 7"))
        log.hear(WorkerNews("w1", "beat", "host/1", shards=(4, 5)))
        log._show(None)
        (life,) = read_lives(tmp_path)
        assert life.alive
        assert {name: worker.state for name, worker in life.workers.items()} == {
            "w0": "started",
            "w1": "ready",
        }
        assert life.workers["w1"].shards == (4, 5)
        log.hear(WorkerNews("w1", "died", "host/1", "crashed: Aborted"))
        log._show(None)
        (life,) = read_lives(tmp_path)
        assert set(life.workers) == {"w0"}
        assert life.deaths == 1
    assert [line["event"] for line in read_log(tmp_path)] == ["run", "started", "ready", "died", "over"]


def test_the_end_says_how(tmp_path):
    with pytest.raises(RuntimeError), Journal(tmp_path, 10, 0):
        raise RuntimeError("no worker lives")
    (life,) = read_lives(tmp_path)
    assert life.ended == "no worker lives"
    assert not life.alive


def test_who_may_be_at_work(tmp_path, monkeypatch):
    assert not may_be_at_work(tmp_path)
    with Journal(tmp_path, 10, 0) as log:
        assert may_be_at_work(tmp_path) and not may_be_at_work(tmp_path, but=log.start)
    assert not may_be_at_work(tmp_path)

    def failing(self, folder):
        raise OSError(5, "Input/output error", folder)

    monkeypatch.setattr(LocalStorage, "names", failing)
    assert may_be_at_work(tmp_path)


def test_a_silent_driver_is_not_alive(tmp_path):
    with Journal(tmp_path, 10, 0):
        pass
    (path,) = (tmp_path / "logs").glob("*.life.json")
    body = json.loads(path.read_bytes()) | {"ended": None}
    path.write_text(json.dumps(body))
    assert read_lives(tmp_path)[0].alive
    path.write_text(json.dumps(body | {"written_at": body["written_at"] - 60}))
    assert not read_lives(tmp_path)[0].alive


def test_rate_and_time_left(tmp_path, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(journal.time, "monotonic", lambda: now)
    with Journal(tmp_path, total=1000, before=100) as log:
        now += 10
        log.hear(Progress(0, images=50))
        log._show(None)
        (life,) = read_lives(tmp_path)
        assert life.rate == pytest.approx(5)
        assert life.seconds_left == pytest.approx((1000 - 100 - 50) / 5)


def test_a_torn_sign_or_line_is_passed_over(tmp_path):
    with Journal(tmp_path, 10, 0) as log:
        pass
    with (tmp_path / "logs" / f"{log.start}.jsonl").open("a") as file:
        file.write('{"event": "sha')
    (tmp_path / "logs" / "x.life.json").write_text("{")
    assert len(read_lives(tmp_path)) == 1
    assert [line["event"] for line in read_log(tmp_path)] == ["run", "over"]


def test_a_disk_that_fails_here_stops_nothing(tmp_path):
    (tmp_path / "logs").write_text("not a folder")
    with Journal(tmp_path, 10, 0) as log:
        log.hear(Progress(0, 1, committed=True))


@pytest.mark.parametrize(
    "damage", [{"images": "6"}, {"written_at": [1]}, {"deaths": float("inf")}, {"rate": None}]
)
def test_what_holds_no_figures_is_no_sign_of_life(tmp_path, damage) -> None:
    with Journal(tmp_path, 1, 0):
        pass
    (sign,) = (tmp_path / "logs").glob("*.life.json")
    sign.write_text(json.dumps(json.loads(sign.read_bytes()) | damage))
    assert read_lives(tmp_path) == []
