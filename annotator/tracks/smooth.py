"""Paths of joints without their noise: a Rauch-Tung-Striebel smoother with robust, confidence-weighted noise.

Constant velocity, driven by white noise of acceleration; observations follow a Student t distribution, whose
weights are found by iteration (outliers lose theirs). H. Rauch, F. Tung, C. Striebel 1965; for the weights
K. Lange, R. Little, J. Taylor 1989.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Of a joint with this confidence, sigma is the standard deviation; of another, inversely proportional.
_USUAL_CONFIDENCE = 0.8
_LEAST_CONFIDENCE = 0.05
_FREEDOM = 4.0
# Intensity of the acceleration's noise in squared heights of the person a second cubed: quick arms included.
ACCELERATION = 4.0
# Standard deviation of an observation, in heights: at least, and where too little is there to estimate it.
_LEAST_SIGMA, _USUAL_SIGMA = 0.001, 0.005
_FEWEST_TRIPLES = 30
# Where nothing is known yet: heights, and heights a second.
_ANYWHERE = 10.0


@dataclass(frozen=True, slots=True)
class Smoothed:
    """Smoothed paths.

    Attributes:
        points: (T, P, 2) float64, pixels, also where nothing was observed.
        sigmas: (T, P) float64, posterior standard deviation of x (and of y) in pixels.
    """

    points: np.ndarray
    sigmas: np.ndarray


def smooth(
    times: np.ndarray,
    points: np.ndarray,
    confidences: np.ndarray,
    heights: np.ndarray,
    sigmas: np.ndarray | None = None,
    iterations: int = 4,
) -> Smoothed:
    """Smooth P paths over T moments.

    Args:
        times: (T,) seconds, ascending.
        points: (T, P, 2) pixels; NaN where a path was not observed.
        confidences: (T, P), raw scores of the joints; above 1 counts as 1.
        heights: (P,) pixels, of the person that a path belongs to.
        sigmas: (P,) pixels, of an observation of confidence 0.8; None: estimated (`estimate_sigma`).
    """
    points = np.asarray(points, np.float64)
    heights = np.asarray(heights, np.float64)
    seen = np.asarray(np.isfinite(points).all(axis=-1))
    share = np.clip(confidences, _LEAST_CONFIDENCE, 1.0) / _USUAL_CONFIDENCE
    if sigmas is None:
        sigmas = np.full(len(heights), estimate_sigma(points, share, heights)) * heights
    variance = (np.asarray(sigmas, np.float64) / share) ** 2
    observed = np.where(seen[..., None], points, 0.0)
    weights = np.ones(seen.shape)
    path, spread = observed, variance
    for _ in range(iterations):
        noise = np.where(seen, variance / weights, np.inf)
        path, spread = _rts(np.asarray(times, np.float64), observed, noise, heights)
        off = ((observed - path) ** 2).sum(axis=-1) / variance
        weights = (_FREEDOM + 2) / (_FREEDOM + off)
    return Smoothed(path, np.sqrt(spread))


def estimate_sigma(points: np.ndarray, share: np.ndarray, heights: np.ndarray) -> float:
    """Standard deviation of an observation of usual confidence, in heights, from second differences.

    The median of their sizes: neither the few quick movements nor outliers count. Arguments as of `smooth`;
    `share`: (T, P), confidence over the usual one.
    """
    bend = points[2:] - 2 * points[1:-1] + points[:-2]
    noise = share[2:] ** -2 + 4 * share[1:-1] ** -2 + share[:-2] ** -2
    scaled = np.abs(bend) / np.sqrt(noise)[..., None] / heights[:, None]
    scaled = scaled[np.isfinite(scaled)]
    if len(scaled) < _FEWEST_TRIPLES:
        return _USUAL_SIGMA
    # 0.6745: the median of |x| of a normal distribution of standard deviation 1.
    return max(_LEAST_SIGMA, float(np.median(scaled)) / 0.6745)


def _rts(
    times: np.ndarray, observed: np.ndarray, noise: np.ndarray, heights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Kalman filter forwards, Rauch-Tung-Striebel backwards: points (T, P, 2), variances (T, P).

    Args:
        observed: (T, P, 2). noise: (T, P) variance, infinite where nothing was observed.
    """
    moments, paths = noise.shape
    drive = ACCELERATION * heights**2
    place, speed = np.zeros((moments, paths, 2)), np.zeros((moments, paths, 2))
    cov = np.zeros((moments, 3, paths))  # variance of place, covariance, variance of speed
    ahead_place, ahead_cov = np.zeros_like(place), np.zeros_like(cov)
    first = np.stack([(_ANYWHERE * heights) ** 2, np.zeros(paths), (_ANYWHERE * heights) ** 2])
    x, v, p = _first_seen(observed, noise), np.zeros((paths, 2)), first
    for t in range(moments):
        if t:
            x, v, p = _ahead(x, v, p, times[t] - times[t - 1], drive)
        ahead_place[t], ahead_cov[t] = x, p
        gain, faster = p[0] / (p[0] + noise[t]), p[1] / (p[0] + noise[t])
        off = observed[t] - x
        x, v = x + gain[:, None] * off, v + faster[:, None] * off
        p = np.stack([(1 - gain) * p[0], (1 - gain) * p[1], p[2] - faster * p[1]])
        place[t], speed[t], cov[t] = x, v, p
    variances = cov[:, 0].copy()
    later_x, later_v, later_p = place[-1], speed[-1], cov[-1]
    for t in range(moments - 2, -1, -1):
        dt = times[t + 1] - times[t]
        a, b, c = cov[t]
        g = ahead_cov[t + 1]
        # Gain = P F' inv(P ahead), both 2 x 2; P F' = [[a + b dt, b], [b + c dt, c]].
        det = g[0] * g[2] - g[1] ** 2
        fa, fb = a + b * dt, b + c * dt
        k00, k01 = (fa * g[2] - b * g[1]) / det, (b * g[0] - fa * g[1]) / det
        k10, k11 = (fb * g[2] - c * g[1]) / det, (c * g[0] - fb * g[1]) / det
        dx, dv = later_x - ahead_place[t + 1], later_v - speed[t]
        later_x = place[t] + k00[:, None] * dx + k01[:, None] * dv
        later_v = speed[t] + k10[:, None] * dx + k11[:, None] * dv
        d0, d1, d2 = later_p - g
        later_p = np.stack(
            [
                a + k00**2 * d0 + 2 * k00 * k01 * d1 + k01**2 * d2,
                b + k00 * k10 * d0 + (k00 * k11 + k01 * k10) * d1 + k01 * k11 * d2,
                c + k10**2 * d0 + 2 * k10 * k11 * d1 + k11**2 * d2,
            ]
        )
        place[t], variances[t] = later_x, later_p[0]
    return place, np.maximum(variances, 0.0)


def _first_seen(observed: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """(P, 2): where each path was observed first; 0 for one that never was."""
    first = np.argmax(np.isfinite(noise), axis=0)
    return observed[first, np.arange(observed.shape[1])]


def _ahead(x, v, p, dt, drive):
    """State and covariance `dt` seconds later."""
    a, b, c = p
    return (
        x + v * dt,
        v,
        np.stack(
            [
                a + 2 * b * dt + c * dt**2 + drive * dt**3 / 3,
                b + c * dt + drive * dt**2 / 2,
                c + drive * dt,
            ]
        ),
    )
