"""Jobs over processes: in their order, and with an end whoever is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from annotator.errors import RunFailed
from annotator.synth.spread import over_processes


def is_alive(pid: int) -> bool:
    """Whether a process is there and has not ended; one that nobody has waited for has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_results_come_in_the_order_of_the_jobs() -> None:
    naps = ["0.3", "0", "0.2", "0.01", "0.1", "0.02", "0.03"]
    jobs = [f"sleep {nap}; echo {nap}" for nap in naps]
    assert list(over_processes(2)(subprocess.getoutput, jobs)) == naps


def test_no_more_processes_than_cores_that_may_be_used(monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert list(over_processes()(subprocess.getoutput, ["echo $PPID"] * 2)) == [str(os.getpid())] * 2


@pytest.mark.timeout(120)
def test_a_process_that_is_killed_is_an_error_and_no_endless_wait() -> None:
    with pytest.raises(RunFailed, match="was killed"):
        list(over_processes(2)(os._exit, [137] * 20))


def test_processes_end_with_their_parent() -> None:
    program = """if True:
        import subprocess, time
        from annotator.synth.spread import over_processes
        for worker in over_processes(2)(subprocess.getoutput, ["echo $PPID"] * 20):
            print(worker, flush=True)
            time.sleep(600)
    """
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        worker = int(parent.stdout.readline())
        assert is_alive(worker)
        parent.kill()
    end = time.monotonic() + 30
    while is_alive(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_alive(worker)
