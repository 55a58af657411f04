"""A job submitted to a Ray head on loopback, behind a token, with `ray job submit --working-dir`."""

from __future__ import annotations

import contextlib
import itertools
import json
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
PATIENCE = 600.0  # of a machine that does much else; an idle one needs a tenth

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

    def submit(self, working_dir: Path, *arguments: object) -> tuple[str, str]:
        """`ray job submit`, to the end of the job; how it ended, and what it said."""
        name = f"job-{next(numbers)}"
        command = [RAY, "job", "submit", "--address", self.address, "--submission-id", name, "--no-wait"]
        command += ["--working-dir", str(working_dir), "--", "python", "entry.py", *map(str, arguments)]
        deadline = time.monotonic() + PATIENCE
        while True:
            done = subprocess.run(
                command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE
            )
            if done.returncode == 0:
                break
            # The dashboard answers before the agent that carries jobs out has told where it listens.
            late = "No available agent" in done.stderr and time.monotonic() < deadline
            assert late, done.stdout + done.stderr + self.log.read_text()[-3000:]
        # Polled: without --no-wait `submit` follows a stream of the log, and ends when the stream does.
        while (job := self.ask(f"/api/jobs/{name}"))["status"] in ("PENDING", "RUNNING"):
            assert time.monotonic() < deadline, job
            time.sleep(0.5)
        return job["status"], self.ask(f"/api/jobs/{name}/logs")["logs"]

    def ask(self, path: str) -> dict:
        """What the dashboard answers to somebody who has the token."""
        token = Path(self.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
        request = urllib.request.Request(self.address + path, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    folder = Path("/tmp") / f"rj{os.getpid()}"
    environment = make_environment(folder)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    # Modules of the tests must come with the working directory, as on a cluster.
    environment["PYTHONPATH"] = str(ROOT)
    environment["PYTHONUNBUFFERED"] = "1"  # its log says when it is up
    # A busy machine is late, not dead.
    environment["RAY_DASHBOARD_STARTUP_TIMEOUT_S"] = "300"
    environment["RAY_DASHBOARD_SUBPROCESS_MODULE_WAIT_READY_TIMEOUT"] = "300"
    environment["RAY_health_check_initial_delay_ms"] = "60000"
    environment["RAY_health_check_timeout_ms"] = "60000"
    log = folder / "head.log"
    try:
        with started(environment, log) as address:
            yield Head(address, environment, log)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def started(environment: dict[str, str], log: Path) -> Iterator[str]:
    """A head that is up; yields the address of its dashboard.

    A raylet gives its agent 15 s from its start to listen, which no setting changes, and aborts when it is
    late (ray#65983). So starting is tried again. The agent that carries jobs out has a port of its own here:
    its usual one may be another Ray's, and then it goes on without listening.
    """
    for _ in range(8):
        gcs, dashboard, agent, client = (free_port() for _ in range(4))
        with log.open("w") as said:
            process = subprocess.Popen(
                [
                    RAY, "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={gcs}",
                    "--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
                    f"--dashboard-agent-listen-port={agent}",
                    "--num-cpus=2", "--num-gpus=0", "--no-monitor", f"--ray-client-server-port={client}",
                ],
                env=environment, stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip
        try:
            while process.poll() is None:
                if "Ray runtime started" in log.read_text():
                    yield f"http://127.0.0.1:{dashboard}"
                    return
                time.sleep(0.5)
        finally:
            end(process)
    raise RuntimeError(f"no head came up:\n{log.read_text()[-3000:]}")


def end(process: subprocess.Popen) -> None:
    """End a head and all that it started."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


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
numbers = itertools.count()


def test_a_submitted_job_runs_to_its_result(head, working_dir, tmp_path):
    pictures, run = tmp_path / "pictures", tmp_path / "run"
    pictures.mkdir()
    for number in range(48):
        write_picture(pictures / f"{number:02d}.png", Fate.RAISE if number == 5 else Fate.GOOD, number)
    arguments = (pictures, "--out", run, "--pose", "fake", "--shard-size", 24, "--device", "cpu")
    status, said = head.submit(working_dir, *arguments, "--accept-error-rows")
    assert status == "SUCCEEDED", said + head.log.read_text()[-3000:]
    assert "48 images" in said
    report, summary = verify(run), summarise(run)
    assert report.ok, report.problems
    assert (summary.images, summary.errors) == (48, {"detect/ValueError": 1})
    # A job that a user got wrong says so and fails.
    status, said = head.submit(working_dir, tmp_path / "nowhere", "--out", run, "--pose", "fake")
    assert status == "FAILED"
    assert "does not exist" in said
    # Nobody gets in without the token, and none was left in the home folder.
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{head.address}/api/jobs/", timeout=PATIENCE)
    assert refused.value.code in (401, 403)
    assert not (Path(head.environment["HOME"]) / ".ray").exists()
