"""The load of the jobs that measure memory: made by `annotator synth`, no copies of one file."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import av
import numpy as np

from annotator.synth.film import frames
from jobs import benchmark_film, memory


def test_every_picture_is_another_one_and_is_written_when_it_is_asked_for(tmp_path):
    seen = set()
    for item in memory.pictures(tmp_path, 200, (80, 60)):
        assert [str(path) for path in tmp_path.iterdir()] == [item.uri]
        seen.add(sha256(Path(item.uri).read_bytes()).digest())
        Path(item.uri).unlink()
    assert len(seen) > 190  # one in twenty shows nobody, on one of a few backgrounds


def test_the_film_goes_on_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_film, "WIDTH", 160)
    monkeypatch.setattr(benchmark_film, "HEIGHT", 120)
    film = benchmark_film.make_film(tmp_path, minutes=2, fps=1)
    expected = frames(0, 0, (160, 120), seconds=120, fps=1, quick=True)
    with av.open(str(film)) as container:
        for frame, (pixels, _) in zip(container.decode(video=0), expected, strict=True):
            assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - pixels).mean() < 8
    made = film.stat().st_mtime_ns
    assert benchmark_film.make_film(tmp_path, minutes=2, fps=1).stat().st_mtime_ns == made
