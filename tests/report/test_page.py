"""The page: complete, self-contained, honest about what is missing, and safe to open."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from annotator.errors import ItemError, UserError
from annotator.report.page import share, write_report
from annotator.store import run_info
from annotator.store.schema import FileRecord

VOID = {"meta", "img", "br"}
LIMIT = 5_000_000


class Page(HTMLParser):
    """Reads a page strictly: every tag is closed in order; keeps attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        self.text += f"{data} "

    def images(self) -> list[np.ndarray]:
        found = []
        for tag, attributes in self.tags:
            if tag == "img":
                head, _, body = (attributes["src"] or "").partition(",")
                assert head == "data:image/jpeg;base64"
                found.append(cv2.imdecode(np.frombuffer(base64.b64decode(body), np.uint8), cv2.IMREAD_COLOR))
        return found


@pytest.fixture
def run(make_run, picture, people, tmp_path, monkeypatch):
    """Ten pictures: nine on disk with two people each, one error whose name is HTML."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    made = []
    for n in range(9):
        cv2.imwrite(str(folder / f"{n}.jpg"), rng.integers(0, 255, (480, 640, 3), dtype=np.uint8))
        made.append(
            picture(f"{n}.jpg", people([[50, 40, 120, 300], [300, 90, 90, 200]], scores=[0.5 + n / 20, 0.2]))
        )
    name = "<script>alert(1)</script>.jpg"
    made.append(picture(name, ItemError("decode", "corrupt", "a <b>bad</b> file"), size=None))
    run = make_run(made, shard_size=4)
    run.items = [replace(item, uri=str(folder / item.file_name)) for item in run.items]
    return run


def test_it_is_one_file_that_needs_nothing_else(run):
    written = write_report(run.commit().open())
    html = written.path.read_text()
    assert written.path == run.path / "report.html"
    assert written.bytes == len(html.encode()) == written.path.stat().st_size
    assert written.bytes < LIMIT
    page = Page(html)
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
    assert not re.search(r"url\(|@import|https?://", html)
    pictures = page.images()
    # 8 whole pictures; 9 people in each group, one a picture
    assert len(pictures) == 8 + 4 * 9
    assert all(p is not None and p.shape[0] > 100 for p in pictures)
    assert written.missing == 0


def test_it_says_what_was_run_and_what_came_of_it(run):
    page = Page(write_report(run.commit().open()).path.read_text())
    text = " ".join(page.text.split())
    sure = "9 with a box score of 0.3 or more and not doubted"
    for part in ("test-pose", "ab" * 32, "18", sure, "decode/corrupt"):
        assert part in text, part
    assert "<script>alert(1)</script>.jpg" in text, "shown as text"
    assert "a <b>bad</b> file" in text
    assert f"annotator verify {run.path}" in text


def test_scores_are_explained_by_whoever_gave_them(run):
    """A model for whole images has no detector whose score could be meant."""
    made = run.commit()
    assert made.provenance.detector is None and made.provenance.boxes is None
    alone = " ".join(write_report(made.open()).path.read_text().split())
    assert "own evaluation ranks people by" in alone
    assert "sure the detector" not in alone and "as MMPose ranks people" not in alone
    boxes = FileRecord("boxes.json", "cd" * 32)
    run_info.update(made.path, provenance=replace(made.provenance, boxes=boxes))
    boxed = " ".join(write_report(made.open()).path.read_text().split())
    assert "sure the detector" in boxed and "as MMPose ranks people" in boxed
    assert "own evaluation ranks people by" not in boxed


def test_missing_and_changed_sources_are_said(run):
    run.commit()
    from pathlib import Path

    Path(run.items[0].uri).unlink()
    cv2.imwrite(run.items[1].uri, np.zeros((10, 20, 3), np.uint8))
    written = write_report(run.open())
    text = " ".join(Page(written.path.read_text()).text.split())
    assert "missing: No such file or directory" in text
    assert "changed since the run: 20 x 10 pixels now, 640 x 480 then" in text
    # Two people groups and more show them: at least one of each kind is counted.
    assert written.missing >= 8
    assert f"{written.missing} pictures could not be shown" in text


def test_with_ground_truth(run, tmp_path):
    run.commit()
    rows = [row for batch in run.open().instances() for row in batch.to_pylist()]
    truth = {
        "images": [
            {"id": i.image_id, "file_name": i.file_name, "width": 640, "height": 480} for i in run.items
        ],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {k: row[k] for k in ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "keypoints")}
            for row in rows
        ],
    }
    gt = tmp_path / "truth.json"
    gt.write_text(json.dumps(truth))
    written = write_report(run.open(), to=tmp_path / "out" / "page.html", gt=gt)
    text = " ".join(Page(written.path.read_text()).text.split())
    assert written.figures["evaluation"]["keypoints"]["AP"] == pytest.approx(1)
    assert "Keypoint AP 1.000" in text
    assert str(gt) in text
    assert not (run.path / "report.html").exists()


def test_an_unfinished_run_is_reported_as_such(run):
    text = " ".join(Page(write_report(run.commit(1).open()).path.read_text()).text.split())
    assert "of 10 planned (40%)" in text
    assert "2 of 3 shards are not done" in text


def test_nobody_anywhere(make_run, picture):
    run = make_run([picture("a.jpg"), picture("b.jpg")]).commit()
    text = " ".join(Page(write_report(run.open()).path.read_text()).text.split())
    assert "2 without any" in text
    assert "Joints" not in text


def test_only_errors(make_run, picture):
    run = make_run([picture("a.jpg", ItemError("read", "missing", "gone"), size=None)]).commit()
    text = " ".join(Page(write_report(run.open()).path.read_text()).text.split())
    assert "read/missing" in text


def test_the_verb_prints_one_json_object(run, capsys):
    from annotator.cli.report import report

    report(str(run.commit().path), as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["path"] == str(run.path / "report.html")
    assert printed["people"] == 18
    assert printed["errors"] == {"decode/corrupt": 1}
    assert printed["pictures_missing"] == 0


def test_a_folder_in_the_way(run, tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        write_report(run.commit().open(), to=tmp_path)


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 10, "0%"),
        (10, 10, "100%"),
        (1, 3, "33%"),
        (1, 100_000, "0.1%"),
        (99_999, 100_000, "99.9%"),
        (0, 0, "0%"),
    ],
)
def test_shares_never_round_to_nothing_or_all(part, whole, text):
    assert share(part, whole) == text
