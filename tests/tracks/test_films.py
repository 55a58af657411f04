"""Which videos of a run are its films, and what comes of a run with one that cannot be read."""

from __future__ import annotations

import json

import pytest

from annotator.errors import ItemError, UserError
from annotator.export import FORMATS
from annotator.report.film import collect_films
from annotator.report.page import write_report
from annotator.store.leftovers import sweep
from annotator.store.verify import verify
from annotator.tracks.films import films_of
from annotator.tracks.layer import follow_run
from annotator.tracks.smoothed import SmoothedRun

WALK = [(20.0, 100.0, 4.0)]
BROKEN = ItemError("open", "corrupt", "no video stream")


@pytest.fixture
def run(film_run, walkers):
    """Broken, good, broken, good, broken: in shards of eight, the last of which is one broken video alone."""
    run = film_run([BROKEN, walkers(10, WALK), BROKEN, walkers(19, WALK), BROKEN], shard_size=8).commit()
    follow_run(run.open())
    sweep(run.path)
    return run


def test_a_video_without_frames_is_no_film(run):
    found = [(film.uri, film.shards) for film in films_of(run.open().plan)]
    assert found == [("/data/1.mp4", range(2)), ("/data/3.mp4", range(1, 4))]
    assert verify(run.path).ok


def test_the_good_films_are_reported_and_exported(run, tmp_path):
    films = collect_films(run.open())
    assert [(film.name, film.frames, film.track_count) for film in films] == [
        ("1.mp4", 10, 1),
        ("3.mp4", 19, 1),
    ]
    assert write_report(run.open()).path.is_file()
    assert FORMATS["smoothed"](run.open(), tmp_path / "smoothed.parquet").people == 29
    written = FORMATS["coco"](SmoothedRun(run.open()), tmp_path / "coco.json")
    assert (written.people, written.errors) == (29, 3)
    assert len(json.loads((tmp_path / "coco.json").read_text())["annotations"]) == 29


def test_a_run_of_broken_videos_alone_has_nothing_to_smooth(film_run, tmp_path):
    run = film_run([BROKEN, BROKEN]).commit()
    assert follow_run(run.open()) == 0 and collect_films(run.open()) == []
    assert write_report(run.open()).path.is_file()
    for name in ("smoothed", "overlay-video"):
        with pytest.raises(UserError, match="no videos that could be read"):
            FORMATS[name](run.open(), tmp_path / "out")
