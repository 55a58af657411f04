"""A run by a Ray of its own, as whoever types `annotator run` has it: nothing is prepared for it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import HERE, Program, check, commits, finish, until

# 127.0.0.1, ::1 and ::ffff:127.0.0.1, words in this machine's order.
LOOPBACK = {"0100007F", "0" * 24 + "01000000", "0" * 16 + "FFFF00000100007F"}


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty one, with a short path, as Ray makes sockets below it."""
    folder = Path("/tmp") / f"rl{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def listening(home: Path) -> dict[str, set[str]]:
    """Addresses that processes with this home listen on, by the name of the process; as in /proc/net."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A":
                sockets[f"socket:[{inode}]"] = local.partition(":")[0]
    found: dict[str, set[str]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={home}".encode() not in (process / "environ").read_bytes().split(b"\0"):
                continue
            name = (process / "comm").read_text().strip()
            links = [str(descriptor.readlink()) for descriptor in (process / "fd").iterdir()]
        except OSError:
            continue  # somebody else's, or just going
        found.setdefault(name, set()).update(sockets[link] for link in links if link in sockets)
    return found


def test_all_ports_are_on_loopback_and_no_token_is_left(home, pictures, tmp_path):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = os.pathsep.join([str(HERE), str(HERE.parent.parent)])
    program = Program(plain | {"HOME": str(home), "RAY_TMPDIR": str(home), "PYTHONPATH": path}, None)
    run = tmp_path / "run"
    driver = program.start(pictures(120), run, "--executor", "ray", "--device", "cpu", "--weights-dir", 0.05)
    until(lambda: commits(run) or driver.poll() is not None)
    found: dict[str, set[str]] = {}
    while driver.poll() is None:
        for name, addresses in listening(home).items():
            found.setdefault(name, set()).update(addresses)
        time.sleep(0.2)
    finish(driver)
    check(run, count=120)
    assert found["gcs_server"] and found["raylet"]
    assert set().union(*found.values()) <= LOOPBACK, found
    assert not (home / ".ray").exists()
