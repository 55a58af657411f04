"""Review for real: database, the App's server and a browser; a decision and a dragged joint made by mouse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotator.export import FORMATS
from annotator.export.selected import selected
from annotator.quality.signals import measured
from annotator.review import decisions
from annotator.review.app import app
from annotator.review.load import load
from annotator.review.mirror import mirror_of
from annotator.review.pull import pull
from annotator.review.workplace import workplace
from annotator.skeletons import COCO_17
from annotator.store import reviews
from tests.conftest import MadeRun, Picture, poses_of
from tests.review.browsing import (
    OPERATORS,
    Review,
    needs_chromium,
    open_grid,
    open_image,
    sample_of,
    wait_for,
)

SIZE = (640, 480)
LEFT_WRIST = 9
# Each test has a picture of its own in the one dataset, and says nothing of the others.
SHOWN, ACCEPTED, KEYED, DRAGGED, HIDDEN, REJECTED, SENT_BACK, DOUBTED, MISSED = range(9)

# Somebody who waves with both arms: joints far apart, in fractions of the box.
POSE = np.array([
    [.50, .08], [.54, .05], [.46, .05], [.58, .07], [.42, .07], [.65, .22], [.35, .22], [.85, .30],
    [.15, .30], [.95, .10], [.05, .10], [.60, .55], [.40, .55], [.62, .75], [.38, .75], [.64, .96],
    [.36, .96],
])  # fmt: skip


@pytest.fixture(scope="module")
def review(review_home: Path, tmp_path_factory) -> Iterator[Review]:
    """Pictures with a person on the left and one on the right, who was missed in one; loaded and served."""
    import fiftyone

    needs_chromium()
    folder = tmp_path_factory.mktemp("e2e")
    boxes = np.array([[40, 40, 240, 400], [360, 40, 240, 400]], float)
    keypoints = boxes[:, None, :2] + POSE * boxes[:, None, 2:]
    pictures = []
    for n in range(MISSED + 1):
        path = folder / f"{n}.png"
        cv2.imwrite(str(path), np.full((SIZE[1], SIZE[0], 3), 60 + 15 * n, np.uint8))
        found = slice(1 if n == MISSED else 2)
        scores = [0.05 if n == DOUBTED else 0.9, 0.8]
        people = poses_of(boxes[found], keypoints[found].astype(np.float32), scores=scores[found])
        pictures.append(Picture(path.name, measured(people, COCO_17, None), size=SIZE))
    run = MadeRun(folder / "run", pictures, 2)
    run.items = [replace(item, uri=str(folder / item.file_name)) for item in run.items]
    run.commit()
    place = workplace(run.path, str(review_home / "database"))
    dataset = fiftyone.load_dataset(load(run.open(), place, quiet=True).dataset)
    with app(place, run.open(), reviewer="anna") as served:
        yield Review(run, place, dataset, served.url, served.begin)


def person(image: int, n: int) -> int:
    return image << 12 | (n + 1)


def select_in_grid(page, image: int) -> None:
    """Tick a picture; the grid shows them in the order of the plan."""
    picture = page.locator('[data-cy="looker"]').nth(image)
    picture.hover()
    picture.locator('[title^="Click to select sample"]').click()
    page.wait_for_selector('[data-cy="action-manage-selected"]')


def press_in_grid(page, operator: str) -> None:
    """Press a button of the plugin above the grid."""
    page.locator(f'[data-item-id="{OPERATORS}/{operator}"]').click()


def form(page):
    """The form that an operator asks for."""
    page.wait_for_selector('[data-cy="operators-prompt-modal"] button:has-text("Execute")')
    return page.locator('[data-cy="operators-prompt-modal"]')


def people_of(review: Review, image: int) -> list[dict]:
    return [label.to_dict() for label in sample_of(review, image).keypoints.keypoints]


def decided(review: Review, image: int) -> list[str | None]:
    return [label.get("decision") for label in people_of(review, image)]


def test_skeletons_are_drawn_in_the_grid_and_nothing_comes_from_outside(page, review) -> None:
    open_grid(page, review)
    picture = page.locator('[data-cy="looker"]').nth(SHOWN)

    def skeleton_pixels() -> int:
        shot = cv2.imdecode(np.frombuffer(picture.screenshot(), np.uint8), cv2.IMREAD_COLOR).astype(int)
        # The picture is grey and boxes are blue: what is much more red than blue is a skeleton.
        return int((shot[..., 2] - shot[..., 0] > 80).sum())

    assert wait_for(page, lambda: skeleton_pixels() > 300)
    # What the App asks elsewhere, the browser blocks before it leaves: nobody but this machine ever answers.
    assert page.answered - {None, ""} == {"127.0.0.1"}


def test_a_decision_by_mouse_changes_the_database(page, review) -> None:
    open_image(page, review, ACCEPTED)
    page.locator('[data-cy="modal"] >> text=Review').first.click()
    page.locator('[data-cy="modal"] button:has-text("Accept")').first.click()
    assert wait_for(page, lambda: decided(review, ACCEPTED) == ["accepted", "accepted"])
    label = people_of(review, ACCEPTED)[0]
    assert label["reviewer"] == "anna" and label["decided_at"] is not None


def test_a_key_rejects_with_its_reason(page, review) -> None:
    open_image(page, review, KEYED)
    page.keyboard.press("Alt+Digit4")
    assert wait_for(page, lambda: decided(review, KEYED) == ["rejected", "rejected"])
    assert people_of(review, KEYED)[0]["reason"] == decisions.REASONS[3]


def test_a_button_of_the_grid_decides_on_the_selected_picture(page, review) -> None:
    open_grid(page, review)
    select_in_grid(page, SENT_BACK)
    press_in_grid(page, "accept")
    assert wait_for(page, lambda: decided(review, SENT_BACK) == ["accepted", "accepted"])
    # A decision ends the selection.
    page.wait_for_selector('[data-cy="action-manage-selected"]', state="detached")
    select_in_grid(page, SENT_BACK)
    press_in_grid(page, "send_back")
    assert wait_for(page, lambda: decided(review, SENT_BACK) == ["sent back", "sent back"])


def test_the_form_of_a_rejection_asks_for_the_reason(page, review) -> None:
    open_grid(page, review)
    select_in_grid(page, REJECTED)
    press_in_grid(page, "reject")
    form(page).get_by_role("combobox").click()
    page.get_by_role("option", name=decisions.REASONS[1]).click()
    page.get_by_role("option").first.wait_for(state="detached")
    form(page).get_by_role("button", name="Execute").click()
    assert wait_for(page, lambda: decided(review, REJECTED) == ["rejected", "rejected"])
    assert {label["reason"] for label in people_of(review, REJECTED)} == {decisions.REASONS[1]}


def test_the_form_of_visibility_is_about_the_joints_that_were_chosen(page, review) -> None:
    open_image(page, review, HIDDEN)
    page.locator('[data-cy="modal"] >> text=Review').first.click()
    page.locator('[data-cy="modal"] button:has-text("Set visibility")').first.click()
    form(page).get_by_role("combobox").first.click()
    page.get_by_role("option", name="left_wrist").click()
    page.get_by_role("option").first.wait_for(state="detached")
    form(page).get_by_role("button", name="Execute").click()
    wanted = [1 if joint == LEFT_WRIST else decisions.UNSET for joint in range(17)]
    assert wait_for(
        page, lambda: [label.get("visible_set") for label in people_of(review, HIDDEN)] == [wanted] * 2
    )
    assert decided(review, HIDDEN) == [None, None]


def on_screen(page, joint: np.ndarray) -> tuple[np.ndarray, float]:
    """Where a joint (fractions of the picture) is drawn in Annotate, and pixels of the screen a pixel."""
    canvas = page.locator('[data-cy="lighter-sample-renderer-canvas"]').bounding_box()
    room = np.array([canvas["width"], canvas["height"]])
    scale = (room / SIZE).min()
    corner = np.array([canvas["x"], canvas["y"]]) + (room - np.array(SIZE) * scale) / 2
    return corner + joint * SIZE * scale, float(scale)


def drag(page, start: np.ndarray, end: np.ndarray) -> None:
    """Press the mouse at one place of the screen and release it at another."""
    page.mouse.move(*start)
    page.mouse.down()
    for part in np.linspace(0, 1, 10)[1:]:
        page.mouse.move(*(start + part * (end - start)))
    page.mouse.up()


def selected_by_click(page, joint: np.ndarray) -> bool:
    """Click, and say whether a line is open for editing: a first click may come before the lines."""
    page.mouse.click(*on_screen(page, joint)[0])
    page.wait_for_timeout(500)
    return page.locator('[data-cy="modal"] >> text=Edit Polyline').count() > 0


def joints(review: Review, image: int, n: int) -> np.ndarray:
    """Where the line of a person has its joints, in fractions of the picture."""
    return mirror_of(COCO_17).to_points(sample_of(review, image).poses.polylines[n].points)


def moved(review: Review, image: int, n: int) -> bool:
    drawn = mirror_of(COCO_17).to_points(sample_of(review, image).poses.polylines[n].drawn)
    return not np.allclose(joints(review, image, n), drawn, atol=1e-3)


def drag_left_wrist(page, review: Review, image: int, n: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Drag a wrist in the open image: from where to where on the screen, and its pixels a pixel."""
    page.keyboard.press("Alt+KeyE")
    page.wait_for_selector(f'[data-cy="annotate-label-{sample_of(review, image).poses.polylines[n].id}"]')
    wrist = joints(review, image, n)[LEFT_WRIST]
    assert wait_for(page, lambda: selected_by_click(page, wrist))
    start, scale = on_screen(page, wrist)
    end = start + np.array([-30, 40])
    drag(page, start, end)
    assert wait_for(page, lambda: moved(review, image, n))
    return start, end, scale


def test_where_a_review_begins_nobody_is_shown_who_is_likely_nobody_and_corrections_leave_them_alone(
    page, review
) -> None:
    """The App writes to a line by its place among those that it shows, and removes those that it misses."""
    open_image(page, review, DOUBTED, review.begin)
    before = sample_of(review, DOUBTED)
    for name in ("people", "keypoints"):
        labels = before[name].detections if name == "people" else before[name].keypoints
        assert [label.to_dict().get("doubtful") for label in labels] == [True, None]
    assert [line.person for line in before.poses.polylines] == [person(DOUBTED, 1)]
    start, end, _ = drag_left_wrist(page, review, DOUBTED, 0)
    for _ in range(3):
        drag(page, end, start)
        assert wait_for(page, lambda: not moved(review, DOUBTED, 0))
        drag(page, start, end)
        assert wait_for(page, lambda: moved(review, DOUBTED, 0))
    after = sample_of(review, DOUBTED)
    for name, inner in (("people", "detections"), ("keypoints", "keypoints"), ("poses", "polylines")):
        assert [label.id for label in after[name][inner]] == [label.id for label in before[name][inner]]
    page.locator('[data-cy="modal"] >> text=Explore').last.click()
    page.keyboard.press("Alt+KeyA")
    assert wait_for(page, lambda: decided(review, DOUBTED) == [None, "accepted"])


def test_a_dragged_joint_is_a_correction_of_that_joint_of_that_person_and_can_be_undone(page, review) -> None:
    open_image(page, review, DRAGGED)
    start, end, scale = drag_left_wrist(page, review, DRAGGED, 1)
    pull(review.run.open(), review.place)
    found = reviews.read(review.run.open())
    dragged = found[person(DRAGGED, 1)]
    assert dragged.moved_joints == (LEFT_WRIST,) and dragged.corrected_by == "anna"
    assert person(DRAGGED, 0) not in found
    corrected = np.array(dragged.keypoints).reshape(17, 3)
    before = np.array(predicted(review.run.open(), person(DRAGGED, 1))).reshape(17, 3)
    assert np.allclose(corrected[LEFT_WRIST, :2] - before[LEFT_WRIST, :2], (end - start) / scale, atol=2)
    others = np.arange(17) != LEFT_WRIST
    assert np.array_equal(corrected[others], before[others])

    page.locator('[data-cy="undo-button"]:visible').last.click()
    assert wait_for(page, lambda: not moved(review, DRAGGED, 1))
    pull(review.run.open(), review.place)
    undone = reviews.read(review.run.open())[person(DRAGGED, 1)]
    assert undone.keypoints is None and undone.corrected_by == "anna"


def test_a_missed_person_is_added_placed_accepted_pulled_and_exported(page, review, tmp_path) -> None:
    open_image(page, review, MISSED)
    page.keyboard.press("Alt+KeyE")
    page.locator('[data-cy="modal"] [data-cy="detection-mode"]').click()
    corner, scale = on_screen(page, np.array([0.5, 0.125]))
    drag(page, corner, on_screen(page, np.array([0.9375, 0.875]))[0])
    assert wait_for(page, lambda: sample_of(review, MISSED).missed is not None)
    page.keyboard.press("Alt+KeyP")
    assert wait_for(page, lambda: len(people_of(review, MISSED)) == 2)
    sample = sample_of(review, MISSED)
    line, number = sample.poses.polylines[1], sample.added[0]
    # The App shows the new line at once, ready to be dragged.
    page.wait_for_selector(f'[data-cy="annotate-label-{line.id}"]')
    wrist = mirror_of(COCO_17).to_points(line.points)[LEFT_WRIST]
    assert wait_for(page, lambda: selected_by_click(page, wrist))
    start, _ = on_screen(page, wrist)
    drag(page, start, start + np.array([-30, 40]))
    # The skeleton follows, so that whoever decides sees the joint.
    assert wait_for(page, lambda: np.isfinite(people_of(review, MISSED)[1]["points"]).any())
    open_image(page, review, MISSED)
    page.keyboard.press("Alt+KeyA")
    assert wait_for(page, lambda: decided(review, MISSED) == ["accepted", "accepted"])

    pull(review.run.open(), review.place)
    added = reviews.read(review.run.open())[number]
    assert (added.added_by, added.corrected_by, added.reviewer) == ("anna",) * 3
    assert np.allclose(added.bbox or (), [320, 60, 280, 360], atol=2 / scale)
    FORMATS["coco"](selected(review.run.open(), reviewed="accepted").run, tmp_path / "coco.json")
    annotations = json.loads((tmp_path / "coco.json").read_text())["annotations"]
    (entry,) = [one for one in annotations if one["id"] == number]
    assert entry["num_keypoints"] == 1 and entry["bbox"] == list(added.bbox or ())
    place = np.reshape(entry["keypoints"], (17, 3))[LEFT_WRIST]
    wanted = wrist * SIZE - 0.5 + np.array([-30, 40]) / scale
    assert np.allclose(place, [*wanted, 2], atol=2)


def predicted(run, instance: int) -> list[float]:
    rows = [row for batch in run.instances(["id", "keypoints"]) for row in batch.to_pylist()]
    return next(row["keypoints"] for row in rows if row["id"] == instance)
