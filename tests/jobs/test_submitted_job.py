"""A job submitted to a Ray head on loopback, behind a token, with `ray job submit --working-dir`."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_models import Fate, write_picture
from program import make_environment

from annotator.store.status import summarise
from annotator.store.verify import verify

ROOT = Path(__file__).resolve().parents[2]
RAY = str(Path(sys.executable).parent / "ray")
PATIENCE = 120.0

ENTRY = """
import annotate
import annotator_with_fakes

annotator_with_fakes.pretend()
annotate.main()
"""


@dataclass
class Head:
    """A head node with a dashboard that takes jobs."""

    address: str
    environment: dict[str, str]
    log: Path

    def submit(self, working_dir: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
        """`ray job submit`, to the end of the job; its exit code is 1 for any failure."""
        command = [RAY, "job", "submit", "--address", self.address, "--working-dir", working_dir, "--"]
        end = time.monotonic() + PATIENCE
        while True:
            done = subprocess.run(
                [*map(str, command), "python", "entry.py", *map(str, arguments)],
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            # The dashboard answers before the node that carries jobs out is there.
            if "No available agent" not in done.stderr or time.monotonic() > end:
                return done


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    folder = Path("/tmp") / f"rj{os.getpid()}"
    environment = make_environment(folder)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    # Modules of the tests must come with the working directory, as on a cluster.
    environment["PYTHONPATH"] = str(ROOT)
    # A busy machine needs longer than the minute Ray gives the dashboard, and is not dead when it is late.
    environment["RAY_DASHBOARD_STARTUP_TIMEOUT_S"] = "200"
    environment["PYTHONUNBUFFERED"] = "1"  # its log says when it is up
    environment["RAY_health_check_initial_delay_ms"] = "60000"
    environment["RAY_health_check_timeout_ms"] = "60000"
    log = folder / "head.log"
    try:
        process, address = started(environment, log)
        try:
            yield Head(address, environment, log)
        finally:
            end(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def started(environment: dict[str, str], log: Path) -> tuple[subprocess.Popen, str]:
    """A head that is up, and the address of its dashboard; its processes have 30 s to find each other."""
    for _ in range(3):
        gcs, dashboard = free_port(), free_port()
        with log.open("w") as said:
            process = subprocess.Popen(
                [
                    RAY, "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={gcs}",
                    "--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
                    "--num-cpus=2", "--num-gpus=0",
                ],
                env=environment, stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip
        while process.poll() is None:
            if "Ray runtime started" in log.read_text():
                return process, f"http://127.0.0.1:{dashboard}"
            time.sleep(0.5)
        end(process)
    raise RuntimeError(f"no head came up:\n{log.read_text()[-3000:]}")


def end(process: subprocess.Popen) -> None:
    """End a head and all that it started."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def working_dir(tmp_path) -> Path:
    """What goes to the cluster: the job script, and fake models in place of real ones."""
    folder = tmp_path / "job"
    folder.mkdir()
    shutil.copy(ROOT / "jobs" / "annotate.py", folder)
    for name in ("annotator_with_fakes.py", "fake_models.py", "failpoints.py"):
        shutil.copy(ROOT / "tests" / "faults" / name, folder)
    (folder / "entry.py").write_text(ENTRY)
    return folder


def free_port() -> int:
    # Below 10002, where Ray's own workers begin to listen, a free one is found by asking for it.
    for port in range(7000 + os.getpid() % 1000, 10_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in taken:
                taken.add(port)
                return port
    raise RuntimeError("no port is free")


taken: set[int] = set()


@pytest.mark.xfail(
    strict=False,
    reason="not reliable, cause unknown: passed in a minute once, failed once, took over two minutes once",
)
def test_a_submitted_job_runs_to_its_result(head, working_dir, tmp_path):
    pictures, run = tmp_path / "pictures", tmp_path / "run"
    pictures.mkdir()
    for number in range(48):
        write_picture(pictures / f"{number:02d}.png", Fate.RAISE if number == 5 else Fate.GOOD, number)
    arguments = (pictures, "--out", run, "--pose", "fake", "--shard-size", 24, "--device", "cpu")
    done = head.submit(working_dir, *arguments, "--accept-error-rows")
    assert done.returncode == 0, done.stdout + done.stderr + head.log.read_text()[-3000:]
    assert "48 images" in done.stdout
    report, summary = verify(run), summarise(run)
    assert report.ok, report.problems
    assert (summary.images, summary.errors) == (48, {"detect/ValueError": 1})
    # A job that a user got wrong says so and fails.
    wrong = head.submit(working_dir, tmp_path / "nowhere", "--out", run, "--pose", "fake")
    assert wrong.returncode == 1
    assert "does not exist" in wrong.stdout
    # Nobody gets in without the token, and none was left in the home folder.
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{head.address}/api/jobs/", timeout=10)
    assert refused.value.code in (401, 403)
    assert not (Path(head.environment["HOME"]) / ".ray").exists()
