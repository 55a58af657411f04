"""Frames by rate and time, whatever the clock of a film counts in."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from annotator.media.scan import VideoIndex
from annotator.sources.sampling import Sampling


def index(pts: np.ndarray, unit: Fraction) -> VideoIndex:
    return VideoIndex(pts.astype(np.int64), pts, np.ones(len(pts), bool), unit, 64, 48)


@pytest.mark.parametrize("start", [None, 0.05, 0.09, 1.05])
def test_a_sample_at_the_films_own_rate_keeps_every_frame(start):
    numbers = np.arange(3000)
    for rate in (Fraction(30), Fraction(24), Fraction(30000, 1001)):
        for unit in (Fraction(1, 1000), Fraction(1, 90000)):
            film = index(np.round(numbers / float(rate * unit)), unit)
            every = Sampling(start=start).choose(film)
            assert Sampling(start=start, fps=float(rate)).choose(film).tolist() == every.tolist()
            assert Sampling(start=start, fps=float(rate) / 2).choose(film).tolist() == every[::2].tolist()
    # A clock of whole frames.
    film = index(numbers, Fraction(1, 30))
    every = Sampling(start=start).choose(film)
    for part in (1, 2, 3, 5, 6):
        assert Sampling(start=start, fps=30 / part).choose(film).tolist() == every[::part].tolist()


def test_a_sample_above_an_uneven_films_rate_loses_one_frame_at_most():
    # 24 frames a second on a clock of 30.
    film = index(np.floor(np.arange(1000) * 1.25 + 0.5), Fraction(1, 30))
    for rate in (24, 25):
        assert len(Sampling(fps=rate).choose(film)) == 1000
    # A telephone's, on a clock of 1/90000.
    late = np.random.default_rng(0).uniform(-0.002, 0.002, 1800)
    film = index(np.round((np.arange(1800) / 29.97 + late) * 90000), Fraction(1, 90000))
    assert len(Sampling(fps=30).choose(film)) >= 1799
    assert len(Sampling(fps=15).choose(film)) == pytest.approx(900, abs=2)


def test_after_a_pause_no_two_neighbours_are_sampled():
    second, clock = np.arange(60) / 30, Fraction(1, 1000)
    paused = np.round(1000 * np.append(second, 12.5 + second))
    film = index(paused, clock)
    assert film.times[Sampling(fps=1).choose(film)] == pytest.approx([0, 1, 12.5, 13, 13.5, 14], abs=0.04)
    # A camera that begins when something moves.
    film = index(np.round(1000 * np.add.outer(3.5 * np.arange(4), second[:6]).ravel()), clock)
    assert film.times[Sampling(fps=1).choose(film)] == pytest.approx([0, 3.5, 7, 10.5], abs=0.04)
