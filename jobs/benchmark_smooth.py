"""Error of smoothed joints on synthetic motion with known truth.

    python jobs/benchmark_smooth.py [--seeds 3]

34 paths of 900 frames at 30 frames/s of a person 600 px tall: slow drift, and swings of 250 to 400 px within
6 to 10 frames; noise of 3 px at confidence 0.8, 5% outliers, gaps of 2 to 8 frames.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np

from annotator.tracks.smooth import smooth

FPS, HEIGHT, SIGMA = 30.0, 600.0, 3.0


@dataclass(frozen=True, slots=True)
class Motion:
    """Truth (T, P, 2), observations (T, P, 2) with NaN in gaps, confidences (T, P), fast (T, P) bool."""

    truth: np.ndarray
    observed: np.ndarray
    confidences: np.ndarray
    fast: np.ndarray


def motion(seed: int, frames: int = 900, paths: int = 34) -> Motion:
    """Synthetic motion as described above."""
    rng = np.random.default_rng(seed)
    times = np.arange(frames) / FPS
    truth = np.zeros((frames, paths, 2))
    for _ in range(3):
        period, phase = rng.uniform(1.5, 6, (paths, 2)), rng.uniform(0, 2 * np.pi, (paths, 2))
        truth += rng.uniform(5, 30, (paths, 2)) * np.sin(
            2 * np.pi * times[:, None, None] / period[None] + phase[None]
        )
    fast = np.zeros((frames, paths), bool)
    for path in range(paths):
        for begin in range(int(rng.integers(20, 60)), frames - 30, 90):
            start, length = begin + int(rng.integers(0, 40)), int(rng.integers(6, 11))
            angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(250, 400)
            share = np.clip((np.arange(frames) - start) / length, 0, 1)
            ease = share * share * (3 - 2 * share)
            truth[:, path] += reach * ease[:, None] * [np.cos(angle), np.sin(angle)]
            fast[start : start + length + 1, path] = True
    confidences = rng.uniform(0.6, 0.95, (frames, paths))
    observed = truth + rng.normal(size=truth.shape) * (SIGMA * 0.8 / confidences)[..., None]
    outlier = rng.random((frames, paths)) < 0.05
    observed[outlier] += rng.normal(size=(int(outlier.sum()), 2)) * 97
    confidences[outlier] = rng.uniform(0.3, 0.8, int(outlier.sum()))
    for path in range(paths):
        for start in rng.integers(10, frames - 20, 8):
            observed[start : start + rng.integers(2, 9), path] = np.nan
    return Motion(truth, observed, confidences, fast)


def errors(made: Motion, points: np.ndarray) -> tuple[float, float, float]:
    """RMSE of x and of y in pixels where observed: all, slow, fast."""
    square = ((points - made.truth) ** 2).mean(axis=-1)
    seen = np.isfinite(made.observed).all(axis=-1)
    parts = (seen, seen & ~made.fast, seen & made.fast)
    return tuple(float(np.sqrt(square[part].mean())) for part in parts)  # type: ignore[return-value]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows = {"raw": [], "smoothed": []}
    began = time.perf_counter()
    for seed in range(options.seeds):
        made = motion(seed)
        done = smooth(np.arange(len(made.truth)) / FPS, made.observed, made.confidences, np.full(34, HEIGHT))
        rows["raw"].append(errors(made, made.observed))
        rows["smoothed"].append(errors(made, done.points))
    print(f"{'':<12}{'all':>8}{'slow':>8}{'fast':>8}   RMSE, px")
    for name, found in rows.items():
        print(f"{name:<12}" + "".join(f"{value:>8.2f}" for value in np.mean(found, axis=0)))
    print(f"{(time.perf_counter() - began) / options.seeds:.2f} s for 34 paths of 900 frames")


if __name__ == "__main__":
    main()
