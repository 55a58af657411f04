"""What a submitted job makes of its arguments; `test_submitted_job` runs it on a cluster."""

from __future__ import annotations

import sys

import pytest

from jobs import annotate


@pytest.fixture
def called(monkeypatch):
    """`called(*arguments)`: the command line that `annotator` gets from a job with these arguments."""

    def call(*arguments: str) -> list[str]:
        monkeypatch.setattr("annotator.cli.main", lambda: None)
        monkeypatch.setattr(sys, "argv", ["annotate.py", *arguments])
        annotate.main()
        return sys.argv

    return call


def test_the_cluster_is_the_jobs_own_unless_one_is_named(called, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert called("in", "--out", "run") == ["annotator", "run", "in", "--out", "run", "--address", "auto"]
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert called("in")[-2:] == ["--address", "10.0.0.1:6379"]


@pytest.mark.parametrize("address", [["--address", "10.0.0.9:6379"], ["--address=10.0.0.9:6379"]])
def test_an_address_that_is_named_is_kept(called, address):
    assert called("in", *address) == ["annotator", "run", "in", *address]
