"""Take the screenshots of docs/review.md: a run on synthetic people, in FiftyOne's App, in a real browser.

    .venv/bin/python jobs/review_pictures.py
    .venv/bin/python jobs/review_pictures.py -- --pose CONFIG.py --pose-weights FILE --detector CONFIG.py ...

What follows `--` goes to `annotator run`; without it the demo models are used. No photo is in the pictures.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from annotator.review.app import app
from annotator.review.workplace import workplace
from annotator.store.reader import Run
from annotator.synth.dataset import IMAGES_DIR

OUT = Path("docs/images")
DEMO = ("--pose", "demo-pose", "--detector", "demo-detector")
# A run keeps boxes in doubt, dozens to a picture of these models.
SETTINGS = "detector_threshold: 0.4\n"
VIEW = (1280, 800)
MILLISECONDS = 60_000
MOST_BYTES = 150_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    parser.add_argument("models", nargs="*", help="options for `annotator run`")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder), arguments)
        take(run, arguments.browser)


def make_run(folder: Path, arguments: argparse.Namespace) -> Run:
    """Synthetic pictures, annotated and loaded with their ground truth."""
    made, run = folder / "made", folder / "people"
    annotator("synth", made, "--images", arguments.images, "--seed", arguments.seed, "--workers", 1)
    settings = folder / "settings.yaml"
    settings.write_text(SETTINGS)
    models = arguments.models or DEMO
    annotator("run", made / IMAGES_DIR, "--out", run, "--executor", "inline", "--config", settings, *models)
    annotator("review", "load", run, "--gt", next(made.glob("*.json")))
    return Run(run)


def annotator(*words: object) -> None:
    """One command of the command line."""
    subprocess.run([sys.executable, "-m", "annotator.cli", *map(str, words)], check=True)


def take(run: Run, browser_path: str) -> None:
    """The grid, an image with the panel, and a pose being corrected."""
    from playwright.sync_api import sync_playwright

    with app(workplace(run.path), run, reviewer="anna") as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": VIEW[0], "height": VIEW[1]})
        page.set_default_timeout(MILLISECONDS)
        page.goto(served.begin, wait_until="domcontentloaded")
        page.wait_for_selector('[data-cy="looker"] canvas[canvas-loaded="true"]')
        page.wait_for_timeout(4000)
        page.keyboard.press("Escape")
        page.wait_for_timeout(1500)
        save(page, "review-grid.jpg")
        page.locator('[data-cy="looker"]').first.click()
        page.wait_for_selector('[data-cy="modal"] [data-cy="checkbox-poses"]')
        page.wait_for_timeout(3000)
        page.keyboard.press("Alt+KeyE")
        page.wait_for_selector('[data-cy="modal"] >> text=PRIMITIVES')
        page.wait_for_timeout(4000)
        save(page, "review-correct.jpg")
        page.locator('[data-cy="modal"] >> text=Explore').last.click()
        page.locator('[data-cy="modal"] >> text=Review').first.click()
        page.wait_for_timeout(3000)
        page.locator('[data-cy="modal"] button:has-text("Accept")').first.click()
        page.wait_for_timeout(6000)
        page.locator('[data-cy="modal"] button:has-text("Refresh")').first.click()
        page.wait_for_timeout(4000)
        save(page, "review-panel.jpg")
        browser.close()


def save(page, name: str) -> None:
    """A screenshot as a JPEG of at most `MOST_BYTES`."""
    shot = page.screenshot(timeout=MILLISECONDS)
    pixels = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    for quality in (88, 80, 70, 60, 45):
        jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(jpeg) <= MOST_BYTES:
            break
    (OUT / name).write_bytes(jpeg)
    print(f"{OUT / name}: {len(jpeg) / 1000:.0f} KB")


if __name__ == "__main__":
    main()
