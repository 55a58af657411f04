"""Films that cannot be made, and slices of a collection of films."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from annotator.errors import UserError
from annotator.synth.film import write_films


def test_a_film_without_a_frame_is_refused_before_anything_is_written(tmp_path) -> None:
    with pytest.raises(UserError, match="no frame at 1 frames a second: 1 s is the least"):
        write_films(tmp_path / "out", 1, 0, (96, 64), seconds=0.4, fps=1)
    assert not (tmp_path / "out").exists()


def test_slices_join_and_other_films_do_not(tmp_path) -> None:
    def make(out: str, n: int, start: int, seconds: float = 0.5):
        return write_films(tmp_path / out, n, 3, (64, 48), seconds, 4.0, map, start, quick=True)

    whole = make("whole", 2, 0)
    make("parts", 1, 1)
    parts = make("parts", 1, 0)
    assert parts.read_bytes() == whole.read_bytes()
    assert [video["id"] for video in json.loads(parts.read_text())["videos"]] == [1, 2]
    with pytest.raises(UserError, match=r"seconds 0\.5, .*seconds 1"):
        make("parts", 1, 2, seconds=1.0)
    assert parts.read_bytes() == whole.read_bytes()
    assert len(list((tmp_path / "parts" / "videos").iterdir())) == 2


def test_a_film_has_the_same_bytes_in_every_process(tmp_path) -> None:
    """x264 looked ahead, and six processes made six files of the same frames."""
    made = set()
    for n in range(3):
        words = [
            "synth",
            tmp_path / str(n),
            "--images",
            0,
            "--videos",
            1,
            "--size",
            "320x240",
            "--workers",
            1,
        ]
        subprocess.run(
            [sys.executable, "-m", "annotator.cli", *map(str, words)], check=True, capture_output=True
        )
        (film,) = (tmp_path / str(n) / "videos").iterdir()
        made.add(film.read_bytes())
    assert len(made) == 1
