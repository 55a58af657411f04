"""The program with inputs and RUN in an object store: killed, resumed, retried; and no secret leaks."""

from __future__ import annotations

import json
import os
import signal

import pytest
from fake_models import Fate
from program import Program, until

from annotator.export import FORMATS
from annotator.locations import location
from annotator.report.page import write_report
from annotator.store.objects import list_objects, read_object
from annotator.store.reader import Run
from annotator.store.storage import storage_at
from annotator.store.verify import verify

SECRETS = (b"AKIATESTKEYID", b"a-secret-of-the-tests")


@pytest.fixture
def program(environment, bucket) -> Program:
    """Without Ray; the environment names the store."""
    store = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return Program(environment | store, None)


def test_a_run_in_a_bucket_survives_its_driver_and_every_verb_reads_it(program, bucket, pictures, tmp_path):
    folder, run = pictures(72, {3: Fate.RAISE}), f"{bucket}/runs/first"
    for path in sorted(folder.iterdir()):
        storage_at(f"{bucket}/photos").replace(path.name, path.read_bytes())
    said = []
    driver = program.start(f"{bucket}/photos/**", run, "--weights-dir", "0.05")
    until(lambda: storage_at(run).names("commits"))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    said.append(driver.stdout.read() + driver.stderr.read())
    report = verify(run)
    assert 0 < report.shards_done < 3 and report.missing
    said.append(program.run(f"{bucket}/photos/**", run, exit_code=3))
    report = verify(run)
    assert report.ok and (report.planned, report.images, report.leftovers) == (72, 72, 0)
    said.append(program.call("status", run, "--json"))
    status = json.loads(said[-1])
    assert (status["complete"], status["error"], len(status["drivers"])) == (True, 1, 2)
    said.append(program.call("retry", run, "--executor", "inline", exit_code=3))
    assert verify(run).ok and len(storage_at(run).names("commits")) == 4
    assert FORMATS["coco"](Run(run), tmp_path / "a.json").images == 71
    assert write_report(Run(run)).path == f"{run}/report.html"
    assert b"<html" in storage_at(run).read("report.html")
    for name, _ in list_objects(location(run)):
        content = read_object(location(run).below(name))
        assert not any(secret in content for secret in SECRETS), name
    assert not any(secret.decode() in text for secret in SECRETS for text in said)


def test_on_ray_a_native_crash_costs_one_row(program, bucket, pictures):
    """Intent records are not in the bucket: the driver finds them on the worker's node."""
    folder, run = pictures(48, {7: Fate.ABORT}), f"{bucket}/run"
    program.run(folder, run, "--executor", "ray", exit_code=3)
    report = verify(run)
    assert report.ok and report.images == 48
    status = json.loads(program.call("status", run, "--json"))
    assert (status["error"], status["errors"]) == (1, {"worker/crashed": 1})
    assert not storage_at(run).names("intents")
