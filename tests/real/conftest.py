"""Runs over the real photos, made once a session through the command line, as a user would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


def annotator(*arguments: object, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own; anything but `exit_code` fails with its output."""
    command = [sys.executable, "-m", "annotator.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == exit_code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def cli() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`annotator ...`, in a process of its own."""
    return annotator


@pytest.fixture(scope="session")
def models(assets) -> list[object]:
    """Options that name the real models."""
    return [
        "--pose", assets.pose_config, "--pose-weights", assets.pose_weights,
        "--detector", assets.detector_config, "--detector-weights", assets.detector_weights,
    ]  # fmt: skip


@pytest.fixture(scope="session")
def run_with_boxes(assets, models, tmp_path_factory) -> Path:
    """The photos with the boxes of the ground truth, by the inline executor."""
    run = tmp_path_factory.mktemp("boxes") / "run"
    annotator(
        "run", assets.ground_truth, "--out", run, *models, "--boxes", assets.ground_truth,
        "--executor", "inline", "--no-flip",
    )  # fmt: skip
    return run


@pytest.fixture(scope="session")
def run_with_detector(assets, models, tmp_path_factory) -> Path:
    """The photos as a folder, people found by the detector, on Ray, in several shards."""
    run = tmp_path_factory.mktemp("detector") / "run"
    annotator("run", assets.photos, "--out", run, *models, "--shard-size", 30)
    return run
