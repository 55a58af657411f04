"""One database for all tests of reviews, in this process and in the App's server."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from annotator.errors import ItemError
from annotator.review.fiftyone_process import import_fiftyone
from annotator.review.workplace import Workplace, workplace
from annotator.store import run_info
from tests.conftest import MadeRun, Picture, poses_of
from tests.review.browsing import CHROMIUM, MILLISECONDS, needs_chromium

SIZE = (320, 240)


@pytest.fixture(scope="session")
def review_home(tmp_path_factory) -> Iterator[Path]:
    """The folder of the session's database; FiftyOne is imported with it."""
    home = tmp_path_factory.mktemp("review")
    before = dict(os.environ)
    place = Workplace(home, home / "database", home / "plugins")
    import_fiftyone(place)
    yield home
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def page() -> Iterator:
    """A page of Chromium."""
    from playwright.sync_api import sync_playwright

    needs_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        # Wide enough for all buttons: the App hides those that have no room.
        page = browser.new_page(viewport={"width": 1900, "height": 1000})
        page.set_default_timeout(MILLISECONDS)
        # FiftyOne's advertisement, which lies over everything, was seen already.
        page.add_init_script("localStorage.setItem('fiftyone-enterprise-tooltip-seen', 'true')")
        page.answered = set()
        page.on("response", lambda answer: page.answered.add(urlsplit(answer.url).hostname))
        yield page
        browser.close()


@pytest.fixture
def fo(review_home):
    """FiftyOne, connected to the session's database."""
    import fiftyone

    return fiftyone


@pytest.fixture
def place(review_home, tmp_path) -> Workplace:
    """The workplace of a test's run, with the session's database."""
    return workplace(tmp_path / "run", str(review_home / "database"))


def two_people(shift: float = 0.0) -> object:
    """A large person and a small one; scores of joints fall, so that the last ones are not labelled."""
    boxes = [[40, 30, 120, 180], [220, 60, 60, 120]]
    poses = poses_of(boxes, scores=[0.9, 0.6])
    poses.keypoint_scores[1, 12:] = 0.01
    poses.keypoints[...] += np.float32(shift)
    return poses


@pytest.fixture
def run(tmp_path, fo) -> MadeRun:
    """Six inputs in three shards: people in four, an empty one, an error; pictures on disk."""
    return make_review_run(tmp_path / "run")


def make_review_run(path: Path, shift: float = 0.0) -> MadeRun:
    """The run of `run`; `shift` moves every joint, as another model would."""
    pictures = [Picture(f"{n}.png", two_people(shift), size=SIZE) for n in range(6)]
    pictures[2] = Picture("2.png", size=SIZE)
    pictures[5] = Picture("5.png", ItemError("decode", "truncated", "the file ends early"), size=None)
    run = MadeRun(path, pictures, 2).commit()
    # Runs of the same plan that begin in the same second would be one dataset.
    run_info.update(path, started_at=f"2026-01-01T00:00:00Z {uuid.uuid4()}")
    return run
