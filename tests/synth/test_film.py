"""Films that cannot be made, and slices of a collection of films."""

from __future__ import annotations

import json

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
