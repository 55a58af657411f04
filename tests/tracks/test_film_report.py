"""A film in the report: people, confidence and identities over time, and stills."""

from __future__ import annotations

import numpy as np
import pytest

from annotator.errors import ItemError
from annotator.report.film import INTERVALS, STILLS, clock, collect_films, lifelines, timeline
from annotator.tracks.layer import follow_run


def test_figures_of_a_film_over_time(film_run, walkers):
    """120 frames: two people until half time, one after it; ten frames cannot be read."""
    missing = frozenset((n, 1) for n in range(60, 120))
    frames = walkers(120, [(20.0, 100.0, 4.0), (20.0, 300.0, 4.0)], missing)
    frames[100:110] = [ItemError("decode", "corrupt", "damaged")] * 10
    run = film_run([frames], shard_size=13).commit()
    follow_run(run.open())
    (film,) = collect_films(run.open())
    assert (film.name, film.frames, film.errors, film.most) == ("0.mp4", 120, 10, 2)
    assert film.seconds == pytest.approx(11.9)
    assert len(film.people) == INTERVALS
    np.testing.assert_array_equal(film.people[:29], 2)
    np.testing.assert_array_equal(film.people[31:50], 1)
    assert np.isnan(film.people[51:54]).all()
    np.testing.assert_allclose(film.confidence[:50], 0.9, atol=1e-6)
    assert film.track_count == 2
    np.testing.assert_allclose(film.tracks, [(0, 5.9), (0, 11.9)], atol=0.01)
    # The file is gone: the stills say so instead of failing.
    assert len(film.stills) == STILLS
    assert all(still.src is None and still.missing for still in film.stills)
    assert [title for title, _ in film.charts] == ["People", "Confidence", "Identities"]


@pytest.mark.parametrize("frames", [1, 3, 36, 119])
def test_a_short_film_has_no_gaps_between_its_frames(film_run, walkers, frames: int):
    run = film_run([walkers(frames, [(20.0, 100.0, 4.0)])], shard_size=13).commit()
    follow_run(run.open())
    (film,) = collect_films(run.open())
    assert len(film.people) == max(1, frames // 2) and np.isfinite(film.people).all()


def test_a_run_of_pictures_has_no_films(make_run, picture, people):
    assert collect_films(make_run([picture("a.jpg", people([[1, 2, 30, 40]]))]).commit().open()) == []


def test_charts_have_a_gap_where_nothing_is_known():
    values = np.array([1.0, np.nan, 2.0, 0.0])
    assert str(timeline(values, 40.0, "x")).count("<rect") == 3
    assert str(timeline(np.full(4, np.nan), 40.0, "x")).count("<rect") == 0
    assert str(lifelines(((0.0, 1.0), (2.0, 2.0)), 4.0, "x")).count("<rect") == 2
    assert [clock(s) for s in (7, 750, 3723)] == ["0:07", "12:30", "1:02:03"]
