"""A cluster, pictures, and the program with fake models, for the tests of faults."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fake_models import Fate, write_picture
from program import ClusterProcess, Program, make_environment, start_cluster


@pytest.fixture(scope="package")
def environment() -> Iterator[dict[str, str]]:
    """See `make_environment`."""
    folder = Path("/tmp") / f"rf{os.getpid()}"
    yield make_environment(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def cluster(environment) -> Iterator[ClusterProcess]:
    """Three nodes, two of them with a pretended GPU."""
    running = start_cluster(environment)
    yield running
    assert running.order("quit") == "down"
    running.process.wait(60)


@pytest.fixture(scope="package")
def on_ray(environment, cluster) -> Program:
    """The program on the cluster."""
    return Program(environment, cluster.address)


@pytest.fixture(scope="package")
def inline(environment) -> Program:
    """The program without Ray."""
    return Program(environment, None)


@pytest.fixture
def pictures(tmp_path) -> Callable[..., Path]:
    """Writes a folder of pictures: `pictures(48, {5: Fate.ABORT})`."""

    def write(count: int, fates: dict[int, Fate] | None = None) -> Path:
        folder = tmp_path / "pictures"
        folder.mkdir()
        for number in range(count):
            write_picture(folder / f"{number:04d}.png", (fates or {}).get(number, Fate.GOOD), number)
        return folder

    return write
