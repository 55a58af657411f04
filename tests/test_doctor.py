"""The doctor: everything a fresh set-up promises is found good, and what is broken is named with a fix."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from annotator import doctor
from annotator.review import database


def test_a_fresh_set_up_is_fit_and_leaves_no_token_behind(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-m", "annotator.cli", "doctor", "--json", "--out", str(tmp_path)],
        env=environment | {"HOME": str(home)}, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    for name in ("python", "torch", "openmmlab", "operations", "onnxruntime", "ray", "video"):
        assert checks[name]["status"] == "ok", checks[name]
    # What the disk has free is the machine's affair; which figure is too little is tested below.
    assert checks["disk"]["status"] in ("ok", "warning") and "GiB free" in checks["disk"]["found"]
    assert "ran a task" in checks["ray"]["found"]
    assert all(check["fix"] for check in checks.values() if check["status"] != "ok")
    assert not (home / ".ray").exists()


def test_another_python_is_named(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    assert doctor.check_python().status == "failed"
    assert "3.11" in doctor.check_python().fix


def test_wrong_operations_are_named(monkeypatch):
    from annotator.models.openmmlab.mmlab import prepare

    prepare()
    import mmcv.ops

    monkeypatch.setattr(mmcv.ops, "nms", lambda boxes, scores, threshold: (boxes, scores.argsort()))
    check = doctor.check_operations()
    assert check.status == "failed"
    assert "nms" in check.found


def test_a_database_in_the_environment_is_asked(monkeypatch, tmp_path):
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    with database.database(tmp_path / "database") as uri:
        monkeypatch.setenv("FIFTYONE_DATABASE_URI", uri)
        check = doctor.check_mongod()
        assert check.status == "ok" and "FIFTYONE_DATABASE_URI answers" in check.found


def test_a_silent_database_in_the_environment_is_named_with_a_fix(monkeypatch):
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200")
    check = doctor.check_mongod()
    assert check.status == "failed" and "FIFTYONE_DATABASE_URI does not answer" in check.found
    assert check.fix.startswith("start it, or unset")


def test_no_mongod_is_a_warning_with_a_fix(monkeypatch):
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    monkeypatch.setattr(database, "find_mongod", lambda: (None, "no mongod is installed"))
    assert doctor.check_mongod().status == "warning"
    assert "annotating does not need it" in doctor.check_mongod().fix


@pytest.mark.parametrize("free, status", [(5, "warning"), (500, "ok")])
def test_little_disk_is_a_warning(monkeypatch, tmp_path, free, status):
    usage = type("Usage", (), {"free": free * 2**30})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    assert doctor.check_disk(str(tmp_path / "not" / "yet")).status == status


def test_a_check_that_breaks_is_a_failed_check(monkeypatch):
    def broken():
        raise RuntimeError("no such thing\nsecond line")

    monkeypatch.setattr(doctor, "check_python", broken)
    first = next(iter(doctor.examine()))
    assert (first.name, first.status, first.found) == ("python", "failed", "RuntimeError: no such thing")
