"""Frames of films, HEIC and photos that lie on their side: shown upright, by what the browser can read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from annotator.review.app import app
from annotator.review.load import load
from annotator.review.workplace import workplace
from annotator.store.reader import Run
from annotator.store.review_folder import copies_folder
from tests.review.browsing import Review, open_grid, wait_for

SIZE = (320, 240)
FRAMES = 3
TURNED = 6  # EXIF: turn the stored pixels a quarter clockwise.

# Corners of the upright picture, as seen: rows of (left, right), RGB.
CORNERS = (((220, 30, 30), (30, 200, 30)), ((30, 30, 220), (240, 240, 240)))


def corners() -> np.ndarray:
    """(240, 320, 3) uint8 RGB: a colour in each quarter."""
    return np.kron(np.array(CORNERS, np.uint8), np.ones((SIZE[1] // 2, SIZE[0] // 2, 1), np.uint8))


def write_inputs(folder: Path) -> None:
    """A photo on its side, a HEIC and a film, which all show the same."""
    folder.mkdir()
    upright = Image.fromarray(corners())
    exif = Image.Exif()
    exif[0x0112] = TURNED
    upright.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", quality=95, exif=exif)
    pillow_heif.from_pillow(upright).save(folder / "phone.heic", quality=95)
    with av.open(str(folder / "film.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv444p"
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(corners(), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def review(review_home, tmp_path_factory) -> Iterator[Review]:
    """The inputs annotated by the demo's models, loaded and served."""
    import fiftyone

    folder = tmp_path_factory.mktemp("pictures")
    write_inputs(folder / "in")
    command = [
        sys.executable, "-m", "annotator.cli", "run", str(folder / "in"), "--out", str(folder / "run"),
        "--executor", "inline", "--pose", "demo-pose", "--detector", "demo-detector",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = Run(folder / "run")
    place = workplace(run.path, str(review_home / "database"))
    loaded = load(run, place, quiet=True)
    assert (loaded.images, loaded.left_out, loaded.unreadable) == (2 + FRAMES, 0, 0)
    dataset = fiftyone.load_dataset(loaded.dataset)
    with app(place, run) as served:
        yield Review(run, place, dataset, served.url, served.begin)


def test_copies_are_made_of_what_no_browser_reads(review) -> None:
    samples = {sample.file_name: sample for sample in review.dataset}
    photo = next(sample for name, sample in samples.items() if name.endswith("turned.jpg"))
    assert photo.filepath == photo.uri, "a JPEG needs no copy: browsers turn it themselves"
    others = [sample for sample in samples.values() if sample is not photo]
    assert sorted(sample.frame_index for sample in others if sample.video_uri) == list(range(FRAMES))
    for sample in others:
        assert Path(sample.filepath).parent == copies_folder(review.run.path, review.run.info)
        shown = cv2.imread(sample.filepath)
        assert np.abs(shown[..., ::-1].astype(int) - corners()).mean() < 4
    assert {(sample.metadata.width, sample.metadata.height) for sample in samples.values()} == {SIZE}


def test_a_browser_shows_them_upright(page, review) -> None:
    open_grid(page, review)
    pictures = page.locator('[data-cy="looker"]')
    assert wait_for(page, lambda: pictures.count() == 2 + FRAMES)
    for n in range(2 + FRAMES):
        assert wait_for(page, lambda n=n: shows_corners(pictures.nth(n)))


def shows_corners(picture) -> bool:
    """Whether each quarter of a picture in the grid has its colour; people may be drawn over it."""
    shot = cv2.imdecode(np.frombuffer(picture.screenshot(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    height, width = shot.shape[0] // 2, shot.shape[1] // 2
    quarters = [
        [np.median(shot[y : y + height, x : x + width].reshape(-1, 3), axis=0) for x in (0, width)]
        for y in (0, height)
    ]
    return bool(np.abs(np.array(quarters) - CORNERS).max() < 30)
