"""Commits that fail, are torn, come late or twice; without Ray, as they are the worker's alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess

import pytest
from fake_models import Fate, write_picture
from program import check, commits, finish, rows, until

from annotator.runtime.journal import read_log


@pytest.mark.parametrize("failpoint", ["die-writing", "die-before-link", "die-after-link"])
def test_a_commit_cut_short_is_whole_or_nothing(inline, pictures, tmp_path, failpoint):
    run, folder = tmp_path / "run", pictures(60)
    inline.run(folder, run, exit_code=-signal.SIGKILL, failpoint=failpoint)
    assert commits(run) == (failpoint == "die-after-link")
    inline.run(folder, run)
    check(run, count=60)


@pytest.mark.parametrize(("failpoint", "words"), [("enospc", "no space left"), ("erofs", "Read-only")])
def test_a_full_or_read_only_disk_is_said_and_gone_on_from(inline, pictures, tmp_path, failpoint, words):
    run, folder = tmp_path / "run", pictures(30)
    said = inline.run(folder, run, exit_code=1, failpoint=failpoint)
    assert words in said
    assert "run again" in said
    assert "Traceback" not in said
    assert not rows(run)
    inline.run(folder, run)
    check(run, count=30)


def test_a_passing_failure_of_storage_costs_a_pause(inline, pictures, tmp_path):
    run = tmp_path / "run"
    inline.run(pictures(30), run, failpoint="eio-once")
    check(run, count=30)


def test_a_zombie_that_commits_late_changes_nothing(inline, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run, folder = tmp_path / "run", pictures(24)
    zombie = inline.start(folder, run, failpoint="late")
    until(lambda: list((run / "images").glob("s*.parquet")))
    inline.run(folder, run)
    standing = sorted((run / "commits").iterdir())[0].read_bytes()
    (tmp_path / "go").touch()
    finish(zombie)
    assert sorted((run / "commits").iterdir())[0].read_bytes() == standing
    check(run, count=24)


def test_a_corrupt_commit_record_makes_its_shard_anew(inline, pictures, tmp_path):
    run, folder = tmp_path / "run", pictures(60)
    inline.run(folder, run)
    record = run / "commits" / "s000001.json"
    record.write_bytes(record.read_bytes().replace(b"24", b"25", 1))
    assert "NOT" in inline.call("verify", run, exit_code=1)
    inline.run(folder, run)
    check(run, count=60)
    again = [line["shard"] for line in read_log(run) if line["event"] == "shard"]
    assert sorted(again) == [0, 1, 1, 2]


def test_a_jumping_clock_harms_nothing(inline, pictures, tmp_path):
    run = tmp_path / "run"
    inline.run(pictures(60), run, failpoint="clock")
    check(run, count=60)
    assert all(0 <= line["seconds"] < 3600 for line in read_log(run) if line["event"] == "shard")


def test_other_settings_are_refused_by_name(inline, pictures, tmp_path):
    run, folder = tmp_path / "run", pictures(10)
    inline.run(folder, run)
    said = inline.run(folder, run, "--set", "detector_threshold=0.4", exit_code=2)
    assert "detector_threshold: 0.1 before, 0.4 now" in said


def test_retry_runs_the_error_rows_and_no_others(inline, pictures, tmp_path):
    fates = {5: Fate.RAISE, 30: Fate.NO_MEMORY, 31: Fate.RAISE}
    run, folder = tmp_path / "run", pictures(60, fates)
    inline.run(folder, run, exit_code=3)
    before = {row["file_name"]: row for row in rows(run)}
    for number in (5, 30):
        write_picture(folder / f"{number:04d}.png", Fate.GOOD, number)
    inline.call("retry", run, "--kind", "detect/ValueError", "--executor", "inline", exit_code=3)
    check(run, {30: Fate.NO_MEMORY, 31: Fate.RAISE}, count=60)
    inline.call("retry", run, "--executor", "inline", exit_code=3)
    check(run, {31: Fate.RAISE}, count=60)
    after = {row["file_name"]: row for row in rows(run)}
    assert {name for name in before if before[name] != after[name]} == {"0005.png", "0030.png"}
    write_picture(folder / "0031.png", Fate.GOOD, 31)
    inline.call("retry", run, "--executor", "inline")
    check(run, count=60)
    assert "nothing left to do" in inline.call("retry", run)


def test_a_retry_cut_short_leaves_the_old_rows(inline, pictures, tmp_path):
    run, folder = tmp_path / "run", pictures(30, {3: Fate.RAISE})
    inline.run(folder, run, exit_code=3)
    broken = inline.command("retry", run, "--executor", "inline")
    ended = subprocess.run(
        broken, env=inline.environment | {"ANNOTATOR_FAILPOINT": "die-before-link"}, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    # What the dead retry left is swept by whoever finishes the run next.
    inline.call("retry", run, "--executor", "inline", exit_code=3)
    check(run, {3: Fate.RAISE}, count=30)


def test_status_tells_a_live_driver_from_a_dead_one(inline, pictures, tmp_path):
    run = tmp_path / "run"
    program = inline.start(pictures(200), run, "--weights-dir", 0.2)
    until(lambda: commits(run))
    live = inline.call("status", run)
    assert "images/s" in live
    assert f"process {program.pid}" in live
    os.killpg(program.pid, signal.SIGKILL)
    program.communicate()
    for sign in (run / "logs").glob("*.life.json"):
        body = json.loads(sign.read_bytes())
        sign.write_text(json.dumps(body | {"written_at": body["written_at"] - 3600}))
    assert "silent for" in inline.call("status", run)


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 1 MiB, where mounting is permitted; the failpoints cover the rest."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(inline, pictures, small_disk):
    run, folder = small_disk / "run", pictures(60)
    inline.run(folder, run, "--limit", 60)
    ballast = small_disk / "ballast"
    (run / "commits" / "s000000.json").write_bytes(b"torn")
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"0" * 4096)
    said = inline.run(folder, run, "--limit", 60, exit_code=1)
    assert "no space left" in said or "cannot be written" in said
    ballast.unlink()
    inline.run(folder, run, "--limit", 60)
    check(run, count=60)
