"""The program under test with fake models, the cluster that it runs on, and what is expected of a run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from fake_models import DEADLY, Fate, expected

from annotator.sources.listing import image_id_of
from annotator.store.schema import instance_ids
from annotator.store.verify import verify

HERE = Path(__file__).resolve().parent
PATIENCE = 420


def make_environment(folder: Path) -> dict[str, str]:
    """For all processes of these tests: Ray's files and token in a folder of ours, our modules importable.

    Args:
        folder: new; its path must be short, as Ray makes sockets below it (107 characters at most).
    """
    (folder / "ray").mkdir(parents=True)
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text("f" * 64)
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent.parent)]),
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_health_check_initial_delay_ms": "1000",
        "RAY_health_check_period_ms": "1000",
        "HOME": str(folder),
    }


@dataclass
class ClusterProcess:
    """A cluster that can be ordered about; see `cluster.py`."""

    process: subprocess.Popen[str]
    address: str

    def order(self, line: str) -> str:
        """Give an order and return the answer."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


def start_cluster(environment: dict[str, str], nodes: int = 2) -> ClusterProcess:
    """A head without GPU and some nodes with one (pretended) each."""
    # The agents of a node have 15 s to listen, which a busy machine may miss.
    log = Path(environment["RAY_TMPDIR"]) / "cluster.log"
    for _ in range(3):
        with log.open("a") as said:
            process = subprocess.Popen(
                [sys.executable, str(HERE / "cluster.py"), str(nodes)],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                start_new_session=True,
            )
        assert process.stdout
        address = process.stdout.readline().strip()
        if address:
            return ClusterProcess(process, address)
        process.wait()
    raise RuntimeError(f"no Ray cluster came up:\n{log.read_text()[-3000:]}")


@dataclass
class Program:
    """`annotator` with fake models, on the cluster."""

    environment: dict[str, str]
    address: str | None

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, str(HERE / "annotator_with_fakes.py"), *map(str, arguments)]

    def run_arguments(self, pictures: Path, run: Path, options: tuple[object, ...]) -> list[object]:
        place = ["--address", self.address] if self.address else ["--executor", "inline"]
        return [
            "run", pictures, "--out", run, "--pose", "fake", "--shard-size", 24, *place,
            "--set", "batch_images=6", "--set", "prefetch_images=12", "--set", "hang_seconds=12", *options,
        ]  # fmt: skip

    def start(
        self, pictures: Path, run: Path, *options: object, failpoint: str = "", log: Path | None = None
    ) -> subprocess.Popen[str]:
        """`annotator run` in the background, in a process group of its own; what it says goes to `log`."""
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(log.open("a")) if log else subprocess.PIPE
            return subprocess.Popen(
                self.command(*self.run_arguments(pictures, run, options)),
                env=self.environment | {"ANNOTATOR_FAILPOINT": failpoint},
                stdout=output,
                stderr=output,
                text=True,
                start_new_session=True,
            )

    def run(
        self, pictures: Path, run: Path, *options: object, exit_code: int = 0, failpoint: str = ""
    ) -> str:
        """`annotator run` to its end; returns what it said."""
        return finish(self.start(pictures, run, *options, failpoint=failpoint), exit_code)

    def call(self, *arguments: object, exit_code: int = 0) -> str:
        """Any other verb."""
        process = subprocess.Popen(
            self.command(*arguments),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return finish(process, exit_code)


def finish(process: subprocess.Popen[str], exit_code: int = 0) -> str:
    """Wait for the end of a process and hold it to its exit code."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"not done after {PATIENCE} s\n{out}\n{err}") from None
    assert process.returncode == exit_code, f"exit {process.returncode}\n{out}\n{err}"
    return out + err


def rows(run: Path, table: str = "images") -> list[dict]:
    """What someone sees who only knows the files."""
    files = sorted((run / table).glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def check(run: Path, fates: dict[int, Fate] | None = None, count: int | None = None) -> None:
    """Hold a finished run to its promises.

    Nothing lost, nothing doubled, `verify` agrees, the error rows are those of the bad pictures alone, and
    all others have the identifiers, the boxes and the joints of an undisturbed run, within 0.01 pixels.
    """
    report = verify(run)
    assert report.ok, report
    images = rows(run)
    names = [row["file_name"] for row in images]
    assert len(names) == len(set(names))
    if count is not None:
        assert len(names) == count
    bad = {
        f"{number:04d}.png" for number, fate in (fates or {}).items() if fate not in (Fate.SLOW, Fate.GOOD)
    }
    failed = {row["file_name"]: row for row in images if row["status"] == "error"}
    assert set(failed) == bad
    for number, fate in (fates or {}).items():
        if fate in DEADLY:
            assert failed[f"{number:04d}.png"]["error_stage"] == "worker"
    people: dict[int, list[dict]] = {row["image_id"]: [] for row in images}
    for row in rows(run, "instances"):
        people[row["image_id"]].append(row)
    for row in images:
        number, found = int(row["file_name"][:4]), people[row["image_id"]]
        poses = expected(0 if row["status"] == "error" else number)
        assert (row["index"], row["image_id"]) == (number, image_id_of(row["uri"]))
        assert [person["id"] for person in found] == instance_ids(number, len(poses))
        assert row["num_instances"] == len(poses)
        for person, box, joints in zip(found, poses.bboxes, poses.keypoints, strict=True):
            np.testing.assert_allclose(person["bbox"], box, rtol=0, atol=0.01)
            stored = np.reshape(person["keypoints"], (-1, 3))[:, :2]
            np.testing.assert_allclose(stored, joints, rtol=0, atol=0.01)


def commits(run: Path) -> int:
    """Shards committed so far."""
    return len(list((run / "commits").glob("s*.json")))


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def workers(run: Path) -> dict[str, int]:
    """Process ids of the workers that have an intent record, by the record's name."""
    found = {}
    for path in (run / "intents").glob("*.intent"):
        try:
            found[path.stem] = json.loads(path.read_bytes().partition(b"\n")[0])["pid"]
        except (OSError, ValueError):
            continue
    return found
