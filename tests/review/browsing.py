"""What the tests of reviews do in a browser: open the grid or an image, and wait for states."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

import pytest

from annotator.review.workplace import Workplace
from annotator.store.reader import Run
from tests.conftest import MadeRun

CHROMIUM = "/usr/bin/chromium"
OPERATORS = "@pose-annotator/review"
# Long enough for a machine that does much else; a quick one does not wait.
MILLISECONDS = 60_000


@dataclass(frozen=True)
class Review:
    """A loaded run whose App is served."""

    run: MadeRun | Run
    place: Workplace
    dataset: object
    url: str
    begin: str


def needs_chromium() -> None:
    """Skip without a browser, but never in continuous integration."""
    if not shutil.which(CHROMIUM):
        message = f"no browser at {CHROMIUM}"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)


def open_grid(page, review: Review) -> None:
    """Show all pictures, none open, and the plugin's buttons: the App remembers what was open before."""
    page.goto(review.url, wait_until="domcontentloaded")
    page.wait_for_selector(f'[data-item-id="{OPERATORS}/accept"]', state="attached")

    def closed() -> bool:
        if page.locator('[data-cy="modal"]:visible').count():
            page.keyboard.press("Escape")
        return not page.locator('[data-cy="modal"]:visible').count()

    assert wait_for(page, closed)
    page.wait_for_selector('[data-cy="looker"] canvas[canvas-loaded="true"]')


def open_image(page, review: Review, image: int, address: str | None = None) -> None:
    """Open an image with its picture in front, to explore: the App remembers panel and mode of before.

    Args:
        address: of a view in which it is opened; the whole dataset's without.
    """
    identifier = sample_of(review, image).id
    url = f"{address}&id={identifier}" if address else f"{review.url}?id={identifier}"
    page.goto(url, wait_until="domcontentloaded")
    page.wait_for_selector(f'[data-item-id="{OPERATORS}/accept"]', state="attached")
    page.locator('[data-cy="modal"] [data-cy="explore"]').click()
    # The sidebar shows values as soon as image, view and operators are there.
    page.wait_for_selector(f'[data-cy="modal"] >> text={identifier}')
    page.locator('[data-cy="modal"] >> text=/^Sample$/').first.click()
    page.wait_for_selector('[data-cy="modal"] canvas')


def sample_of(review: Review, image: int):
    review.dataset.reload()
    return review.dataset.match({"index": image}).first()


def wait_for(page, condition) -> bool:
    for _ in range(MILLISECONDS // 250):
        if condition():
            return True
        page.wait_for_timeout(250)
    return False
