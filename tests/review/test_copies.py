"""Copies show what their own run saw."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from annotator.review import copies
from annotator.store import run_info
from tests.conftest import MadeRun, Picture, poses_of


def copy_of(picture: Path, run_dir: Path, started_at: str) -> float:
    """The mean of the copy that a run of one TIFF, made just now, shows of it."""
    made = MadeRun(run_dir, [Picture(picture.name, poses_of([[1, 1, 20, 30]]), size=(60, 40))], 2)
    made.items = [replace(item, uri=str(picture)) for item in made.items]
    made.commit()
    run_info.update(run_dir, started_at=started_at)
    (path,) = copies.make(made.open(), np.array([0.5]), 10, quiet=True).paths.values()
    return cv2.imread(path).mean()


def test_a_run_made_anew_in_the_same_folder_does_not_show_the_pictures_of_the_old_one(tmp_path) -> None:
    picture = tmp_path / "a.tif"
    for value, day in ((0, "01"), (255, "02")):
        cv2.imwrite(str(picture), np.full((40, 60, 3), value, np.uint8))
        assert copy_of(picture, tmp_path / "run", f"2026-01-{day}T00:00:00Z") == value
        shutil.rmtree(tmp_path / "run")
    # Nor do the old ones stay: nobody could tell any more what they show.
    assert len(list((tmp_path / "run.review" / "copies").rglob("*.jpg"))) == 1
