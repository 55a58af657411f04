"""Faults on a cluster of three nodes: what dies costs its current work and nothing else."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from fake_models import DEADLY, Fate
from program import check, commits, finish, rows, until, workers

from annotator.runtime.journal import read_lives, read_log
from annotator.store import run_info


def events(run: Path) -> Counter[str]:
    return Counter(line["event"] for line in read_log(run))


def test_bad_pictures_of_every_kind_become_error_rows_alone(on_ray, pictures, tmp_path):
    fates = {
        3: Fate.ABORT,
        4: Fate.SEGFAULT,
        40: Fate.ABORT_IN_DECODER,
        60: Fate.HANG,
        75: Fate.HANG_IN_DECODER,
        80: Fate.RAISE,
        81: Fate.NO_MEMORY,
        100: Fate.DEVICE_LOST,
    }
    run = tmp_path / "run"
    on_ray.run(pictures(120, fates), run, exit_code=3)
    check(run, fates | {100: Fate.RAISE}, count=120)
    kinds = {row["file_name"][:4]: row["error_kind"] for row in rows(run) if row["status"] == "error"}
    assert kinds == {
        "0003": "crashed", "0004": "crashed", "0040": "crashed", "0060": "hung", "0075": "hung",
        "0080": "ValueError", "0081": "MemoryError", "0100": "crashed",
    }  # fmt: skip
    messages = {row["file_name"][:4]: row["error_message"] for row in rows(run) if row["status"] == "error"}
    assert "Segmentation fault in string_at" in messages["0004"]
    deadly = sum(fate in DEADLY or fate is Fate.DEVICE_LOST for fate in fates.values())
    assert events(run)["died"] <= 2 * deadly


def test_a_picture_that_ends_workers_without_a_trace_takes_four(on_ray, pictures, tmp_path):
    """A kill from outside looks the same, and may well hit an innocent twice."""
    run = tmp_path / "run"
    on_ray.run(pictures(48, {7: Fate.EXIT}), run, exit_code=3)
    check(run, {7: Fate.EXIT}, count=48)
    assert [row["error_kind"] for row in rows(run) if row["status"] == "error"] == ["killed"]
    assert events(run)["died"] <= 4


def test_killed_workers_are_replaced(on_ray, pictures, tmp_path):
    run = tmp_path / "run"
    program = on_ray.start(pictures(480), run, "--weights-dir", 0.02)
    killed = set()
    for done in range(4):
        # Kill after kill on one item, with nothing in between, cannot be told from an item that kills.
        until(
            lambda done=done: (
                program.poll() is not None or (commits(run) > done and set(workers(run).values()) - killed)
            )
        )
        for pid in set(list(workers(run).values())[:1]) - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
    finish(program)
    assert killed
    check(run, count=480)


def test_a_killed_driver_goes_on_where_it_stopped(on_ray, pictures, tmp_path):
    run, folder = tmp_path / "run", pictures(240)
    for done in (1, 4):
        program = on_ray.start(folder, run, "--weights-dir", 0.02)
        until(lambda done=done: commits(run) > done)
        os.killpg(program.pid, signal.SIGKILL)
        program.communicate()
        standing = commits(run)
    # A dead driver can be told from a live one, and what it did is not done again.
    assert read_lives(run)[-1].ended is None
    on_ray.run(folder, run)
    check(run, count=240)
    again = [line for line in read_log(run) if line["event"] == "shard"]
    assert len(again) <= 10 + 2 * 4
    assert standing < 10


def test_two_drivers_on_one_run_folder(on_ray, pictures, tmp_path):
    run, folder = tmp_path / "run", pictures(192)
    first = on_ray.start(folder, run, "--weights-dir", 0.02, "--workers", 1)
    until(lambda: (run / "plan").is_dir() and list((run / "plan").glob("*.parquet")))
    second = on_ray.start(folder, run, "--weights-dir", 0.02, "--workers", 1)
    finish(first)
    finish(second)
    check(run, count=192)


def test_a_node_leaves_and_another_joins(on_ray, cluster, pictures, tmp_path):
    run = tmp_path / "run"
    program = on_ray.start(pictures(480), run, "--weights-dir", 0.05)
    until(lambda: commits(run) >= 2)
    assert cluster.order("remove 1") == "removed"
    standing = commits(run)
    assert cluster.order("add") == "2"
    until(lambda: commits(run) >= standing + 3)
    finish(program)
    check(run, count=480)
    nodes = {line["node"] for line in read_log(run) if line["event"] == "ready"}
    assert len(nodes) == 3


def test_no_token_is_left_in_the_home_folder(on_ray, cluster):
    home = Path(on_ray.environment["HOME"])
    assert not (home / ".ray").exists()


@pytest.mark.parametrize(("executor", "number"), [("on_ray", signal.SIGTERM), ("inline", signal.SIGINT)])
def test_a_driver_that_is_asked_to_end_says_so_in_one_sentence(request, pictures, tmp_path, executor, number):
    program, run, folder = request.getfixturevalue(executor), tmp_path / "run", pictures(96)
    driver = program.start(folder, run, "--weights-dir", "0.05")
    until(lambda: commits(run))
    driver.send_signal(number)
    out, said = driver.communicate(timeout=120)
    assert driver.returncode == 128 + number, said
    (sentence,) = [line for line in said.splitlines() if "stopped by" in line]
    assert sentence == f"annotator: stopped by {number.name}; run the same command again to go on"
    # Neither Python's stack nor Ray's native one.
    assert not any(sign in out + said for sign in ("Traceback", "***", "PC: @", "received at time"))
    assert run_info.read(run).failure == f"stopped by {number.name}"
    program.run(folder, run)
    check(run, count=96)
