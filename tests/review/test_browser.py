"""Review for real: database, the App's server and a browser; a decision and a dragged joint made by mouse."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from annotator.review import decisions, layers
from annotator.review.app import app
from annotator.review.load import load
from annotator.review.mirror import mirror_of
from annotator.review.pull import pull
from annotator.review.workplace import Workplace, workplace
from annotator.skeletons import COCO_17
from tests.conftest import MadeRun, Picture, poses_of

CHROMIUM = "/usr/bin/chromium"
SIZE = (640, 480)
LEFT_WRIST = 9
MILLISECONDS = 45_000

# Somebody who waves with both arms: joints far apart, in fractions of the box.
POSE = np.array([
    [.50, .08], [.54, .05], [.46, .05], [.58, .07], [.42, .07], [.65, .22], [.35, .22], [.85, .30],
    [.15, .30], [.95, .10], [.05, .10], [.60, .55], [.40, .55], [.62, .75], [.38, .75], [.64, .96],
    [.36, .96],
])  # fmt: skip


@dataclass(frozen=True)
class Review:
    """A loaded run whose App is served."""

    run: MadeRun
    place: Workplace
    dataset: object
    url: str


@pytest.fixture(scope="module")
def review(review_home: Path, tmp_path_factory) -> Iterator[Review]:
    """Two pictures with a person on the left and one on the right, loaded and served."""
    import fiftyone

    if not shutil.which(CHROMIUM):
        message = f"no browser at {CHROMIUM}"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    folder = tmp_path_factory.mktemp("e2e")
    boxes = np.array([[40, 40, 240, 400], [360, 40, 240, 400]], float)
    keypoints = boxes[:, None, :2] + POSE * boxes[:, None, 2:]
    pictures = []
    for n in range(2):
        path = folder / f"{n}.png"
        cv2.imwrite(str(path), np.full((SIZE[1], SIZE[0], 3), 60 + 40 * n, np.uint8))
        people = poses_of(boxes, keypoints.astype(np.float32), scores=[0.9, 0.8])
        pictures.append(Picture(path.name, people, size=SIZE))
    run = MadeRun(folder / "run", pictures, 2)
    run.items = [replace(item, uri=str(folder / item.file_name)) for item in run.items]
    run.commit()
    place = workplace(run.path, str(review_home / "database"))
    dataset = fiftyone.load_dataset(load(run.open(), place, quiet=True).dataset)
    with app(place, dataset.name, reviewer="anna") as served:
        yield Review(run, place, dataset, served.url)


@pytest.fixture(scope="module")
def page(review) -> Iterator:
    """A page of Chromium that shows the dataset's grid."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(MILLISECONDS)
        page.answered = set()
        page.on("response", lambda answer: page.answered.add(urlsplit(answer.url).hostname))
        page.goto(review.url, wait_until="domcontentloaded")
        page.wait_for_selector('[data-cy="looker"] canvas[canvas-loaded="true"]')
        yield page
        browser.close()


def person(image: int, n: int) -> int:
    return image << 12 | (n + 1)


def open_image(page, review: Review, image: int) -> None:
    """Open an image with its picture in front: the App remembers which panel was there before."""
    identifier = sample_of(review, image).id
    page.goto(f"{review.url}?id={identifier}", wait_until="domcontentloaded")
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


def test_skeletons_are_drawn_in_the_grid_and_nothing_comes_from_outside(page, review) -> None:
    picture = page.locator('[data-cy="looker"]').first

    def skeleton_pixels() -> int:
        shot = cv2.imdecode(np.frombuffer(picture.screenshot(), np.uint8), cv2.IMREAD_COLOR).astype(int)
        # The picture is grey and boxes are blue: what is much more red than blue is a skeleton.
        return int((shot[..., 2] - shot[..., 0] > 80).sum())

    assert wait_for(page, lambda: skeleton_pixels() > 300)
    # What the App asks elsewhere, the browser blocks before it leaves: nobody but this machine ever answers.
    assert page.answered - {None, ""} == {"127.0.0.1"}


def test_a_decision_by_mouse_changes_the_database(page, review) -> None:
    open_image(page, review, 0)
    page.locator('[data-cy="modal"] >> text=Review').first.click()
    page.locator('[data-cy="modal"] button:has-text("Accept")').first.click()
    assert wait_for(page, lambda: decided(review, 0) == ["accepted", "accepted"])
    assert decided(review, 1) == [None, None]
    label = sample_of(review, 0).keypoints.keypoints[0]
    assert label.reviewer == "anna" and label.decided_at is not None


def decided(review: Review, image: int) -> list[str | None]:
    return [label.to_dict().get("decision") for label in sample_of(review, image).keypoints.keypoints]


def test_a_key_rejects_with_its_reason(page, review) -> None:
    open_image(page, review, 1)
    page.keyboard.press("Alt+Digit4")
    assert wait_for(page, lambda: decided(review, 1) == ["rejected", "rejected"])
    assert sample_of(review, 1).keypoints.keypoints[0].reason == decisions.REASONS[3]


def selected_by_click(page, place: np.ndarray) -> bool:
    """Click, and say whether a line is open for editing: a first click may come before the lines."""
    page.mouse.click(*place)
    page.wait_for_timeout(500)
    return page.locator('[data-cy="modal"] >> text=Edit Polyline').count() > 0


def test_a_joint_dragged_by_mouse_is_a_correction_of_that_joint_of_that_person(page, review) -> None:
    sample = sample_of(review, 0)
    open_image(page, review, 0)
    page.keyboard.press("Alt+KeyE")
    page.wait_for_selector('[data-cy="modal"] >> text=PRIMITIVES')
    page.wait_for_selector('[data-cy="modal"] canvas')
    canvas = page.locator('[data-cy="modal"] canvas').last.bounding_box()
    scale = min(canvas["width"] / SIZE[0], canvas["height"] / SIZE[1])
    corner = np.array([
        canvas["x"] + (canvas["width"] - SIZE[0] * scale) / 2,
        canvas["y"] + (canvas["height"] - SIZE[1] * scale) / 2,
    ])  # fmt: skip
    points = mirror_of(COCO_17).to_points(sample.poses.polylines[1].points)
    start = corner + points[LEFT_WRIST] * SIZE * scale
    end = start + np.array([-30, 40])
    assert wait_for(page, lambda: selected_by_click(page, start))
    page.mouse.move(*start)
    page.mouse.down()
    for part in np.linspace(0, 1, 10)[1:]:
        page.mouse.move(*(start + part * (end - start)))
    page.mouse.up()
    dragged = person(0, 1)

    def moved() -> bool:
        line = sample_of(review, 0).poses.polylines[1]
        return not np.allclose(mirror_of(COCO_17).to_points(line.points), points, atol=1e-3)

    assert wait_for(page, moved)
    pulled = pull(review.run.open(), review.place)
    assert pulled.corrected == 1
    found = layers.read(review.run.open())
    assert found[dragged].moved_joints == (LEFT_WRIST,) and found[dragged].corrected_by == "anna"
    assert found[person(0, 0)].keypoints is None
    corrected = np.array(found[dragged].keypoints).reshape(17, 3)
    before = next(review.run.open().instances()).to_pylist()[1]["keypoints"]
    before = np.array(before).reshape(17, 3)
    assert np.allclose(corrected[LEFT_WRIST, :2] - before[LEFT_WRIST, :2], (end - start) / scale, atol=2)
    others = np.arange(17) != LEFT_WRIST
    assert np.array_equal(corrected[others], before[others])
    assert {p: r.decision for p, r in found.items()} == {
        person(0, 0): "accepted",
        person(0, 1): "accepted",
        person(1, 0): "rejected",
        person(1, 1): "rejected",
    }
