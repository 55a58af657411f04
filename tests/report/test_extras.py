"""Blurred faces, the data set card, signals, and what the run took and cost."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import yaml

from annotator.cli.run_report import describe, to_json
from annotator.media.image import Image
from annotator.people import Poses
from annotator.quality.signals import measured
from annotator.report.faces import blur_faces
from annotator.report.page import write_report
from annotator.report.signals import collect_signals, queue_of
from annotator.report.thumbnails import _without_faces
from annotator.runtime.run_report import report
from annotator.skeletons import COCO_17, Skeleton
from annotator.store.commit import ShardWriter

BOX = np.array([100.0, 50, 120, 300])


def person() -> np.ndarray:
    """(1, 17, 3): a head at (160, 80), the body below."""
    xyv = np.full((1, 17, 3), 2.0)
    xyv[0, :5, :2] = [[160, 85], [166, 79], [154, 79], [172, 82], [148, 82]]
    xyv[0, 5:, 0], xyv[0, 5:, 1] = np.tile([190, 130], 6), np.linspace(130, 340, 12)
    return xyv


def people_of(keypoints: np.ndarray) -> Poses:
    scores = np.ones((1, 17), np.float32)
    return Poses(BOX[None], scores[:, 0], keypoints.astype(np.float32), scores, scores[:, 0])


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)


def detail(pixels: np.ndarray) -> float:
    """How much neighbouring pixels differ."""
    return float(np.abs(np.diff(pixels.astype(float), axis=1)).mean())


def test_a_face_is_blurred_and_nothing_else() -> None:
    before = noise()
    after = blur_faces(before, BOX[None], person(), COCO_17)
    assert detail(after[70:95, 148:172]) < 0.1 * detail(before[70:95, 148:172])
    changed = np.argwhere((after != before).any(axis=2))
    assert changed.min(axis=0)[0] > 20 and changed.max(axis=0)[0] < 140, "the body stays as it is"
    assert changed.min(axis=0)[1] > 100 and changed.max(axis=0)[1] < 220
    np.testing.assert_array_equal(before, noise())


def test_a_face_that_nobody_sees_is_blurred_with_the_top_of_the_box() -> None:
    hidden = person()
    hidden[0, :5, 2] = 0
    hidden[0, :5, :2] = [600, 400]
    after = blur_faces(noise(), BOX[None], hidden, COCO_17)
    assert detail(after[60:110, 130:190]) < 0.1 * detail(noise()[60:110, 130:190])


def test_a_skeleton_without_a_face_has_the_top_of_its_boxes_blurred() -> None:
    hands = Skeleton("hands", ("a", "b"), (), (0, 1), (0.1, 0.1))
    outside = np.array([[-80.0, -80, 60, 60]])
    after = blur_faces(noise(), np.concatenate([BOX[None], outside]), np.zeros((2, 2, 3)), hands)
    assert detail(after[60:110, 130:190]) < 0.1 * detail(noise()[60:110, 130:190])
    np.testing.assert_array_equal(after[300:], noise()[300:])


@pytest.fixture
def run(make_run, picture, people, tmp_path):
    """Six pictures on disk with two people each, in two shards of 1.5 s."""
    folder = tmp_path / "photos"
    folder.mkdir()
    made = []
    for n in range(6):
        cv2.imwrite(str(folder / f"{n}.jpg"), noise())
        made.append(picture(f"{n}.jpg", people([[50, 40, 120, 300], [300, 90, 90, 200]], scores=[0.9, 0.5])))
    made_run = make_run(made, shard_size=3)
    made_run.items = [replace(item, uri=str(folder / item.file_name)) for item in made_run.items]
    return made_run.commit().open()


def test_work_has_a_price(run) -> None:
    written = write_report(run, price_per_hour=2.4)
    work = written.figures["work"]
    assert work["cost"] == pytest.approx(0.002) and work["worker_seconds"]["other"] == pytest.approx(3)
    assert (work["images_per_worker_second"], work["people_per_worker_second"]) == (2, 4)
    page = " ".join(written.path.read_text().split())
    assert "0.333 for 1,000 images" in page and "<dt>Held back by</dt><dd>everything else" in page
    assert write_report(run).figures["work"]["cost"] is None


def test_run_and_report_give_one_cost_and_the_same_stages(make_run, picture, people) -> None:
    made = make_run([picture(f"{n}.jpg", people([[0, 0, 9, 9]])) for n in range(4)])
    spent = {"wait": 0.5, "detect": 1.0, "pose": 2.0, "signals": 0.25, "write": 0.75, "seconds": 4.0}
    for shard in range(2):
        stats = spent | {"images": 2, "posed": 2, "host": "a", "pid": shard}
        images, instances = made.tables(shard)
        assert ShardWriter(made.path, shard).commit(images, instances, stats).won
    ended = report(str(made.path), stats=[record.stats for record in made.open().committed().values()])
    told = to_json(ended, price_per_hour=3.6)
    work = write_report(made.open(), price_per_hour=3.6).figures["work"]
    assert work["cost"] == told["efficiency"]["cost_of_plan"] == pytest.approx(2 * 4.75 / 1000)
    expected = {name: 2 * seconds for name, seconds in spent.items() if name != "seconds"} | {"other": 0.5}
    assert work["worker_seconds"] == told["stages"] == expected
    assert (work["workers"], work["machines"]) == (2, 1)
    assert "signals 5%, write 16%, other 5%." in describe(replace(ended, images=4, seconds=2.0))


def test_the_card_says_whom_it_counts(make_run, picture, people) -> None:
    """A box of 0.4 around joints of 0.02 is likely nobody: the card leaves it out, and says so."""
    poses = people([[0, 0, 50, 90], [300, 0, 50, 90]], scores=[0.9, 0.4])
    poses.keypoint_scores[1] = 0.02
    run = make_run([picture("a.jpg", measured(poses, COCO_17, (192, 256)))]).commit().open()
    counted = "2 rows, 1 of them with a box score of 0.3 or more, likely phantoms and doubles aside."
    assert counted in write_report(run).card.read_text()


def test_the_card_is_what_the_hub_reads(run, tmp_path) -> None:
    written = write_report(run)
    assert written.card == run.path / "README.md"
    head, text = written.card.read_text().split("---\n")[1:3]
    card = yaml.safe_load(head)
    assert card["task_categories"] == ["keypoint-detection"] and card["size_categories"] == ["n<1K"]
    files = {config["config_name"]: config["data_files"] for config in card["configs"]}
    assert files == {"instances": "instances/*.parquet", "images": "images/*.parquet"}
    assert all(list(run.path.glob(pattern)) for pattern in files.values())
    assert "12 people in 6 images" in text and "ab" * 32 in text and "Not measured" in text


def test_every_model_and_what_the_rows_come_from_are_named(cascade) -> None:
    written = write_report(cascade)
    page, card = " ".join(written.path.read_text().split()), written.card.read_text()
    assert "keypoints by <b>test-pose</b> and <b>second &#34;pose&#34;</b>," in page
    assert 'predicted by test-pose and second "pose" on' in card
    for part in ("second.pth", "cd" * 32, "probabilities.json", "ef" * 32, "earlier", "45" * 32):
        assert part in page and part in card, part
    assert "the inputs, boxes of earlier" in page


def test_a_readme_beside_a_report_elsewhere_stays(run, tmp_path) -> None:
    (tmp_path / "README.md").write_text("# My project\n")
    for _ in range(2):
        written = write_report(run, tmp_path / "page.html")
    assert written.card == tmp_path / "page.README.md" and "task_categories" in written.card.read_text()
    assert (tmp_path / "README.md").read_text() == "# My project\n" and not (run.path / "README.md").exists()


def test_faces_of_a_picture_that_was_decoded_smaller_are_found() -> None:
    found = people_of(person()[..., :2])
    image, large = Image(noise(), 4 * 640, 4 * 480, scale=4), found.scaled(4)
    xyv = np.concatenate([large.keypoints, person()[..., 2:]], axis=2)
    expected = blur_faces(noise(), BOX[None], person(), COCO_17)
    np.testing.assert_array_equal(_without_faces(image, large.bboxes, xyv, COCO_17).pixels, expected)


def test_blurred_pictures_are_said_to_be(run) -> None:
    page = write_report(run, blur_faces=True).path.read_text()
    assert "Faces of the people found are blurred" in page
    assert "Faces of the people found are blurred" not in write_report(run).path.read_text()


def test_rows_without_signals_have_no_doubts(run) -> None:
    """As rows of schema 1.0: nothing to count, nothing to rank by, and the page says nothing of it."""
    queue = queue_of(run)
    signals = collect_signals(run, queue, None)
    assert signals.flags == [] and signals.spreads == [] and signals.curve is None
    assert signals.shown == 12
    assert "What the run itself doubts" not in write_report(run).path.read_text()
