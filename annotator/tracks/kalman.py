"""A Kalman filter on person boxes: constant velocity of centre and size, many people at once."""

from __future__ import annotations

import numpy as np

# All in heights of the person, so that near and far people, and films of any size, are treated alike.
OBSERVED = 0.04  # standard deviation of a detector's box
ACCELERATION = 2.0  # standard deviation, a second squared
FIRST_VELOCITY = 1.0  # standard deviation at the first sight, a second
# Sizes change, but never for long in one direction: their velocity halves in so many seconds.
_SIZE_HALVES = 0.25
_MOST_RESIZED = 1.25


class BoxFilter:
    """Filters T boxes, each coordinate by itself (noise is alike in all four, so one covariance serves them).

    Attributes:
        boxes: (T, 4) float64 [centre x, centre y, w, h] in pixels.
        velocities: (T, 4) float64, pixels a second.
        covariances: (T, 3) float64: variance of position, covariance, variance of velocity.
        seen: (T, 4) float64, each person's last observed box.
    """

    def __init__(self) -> None:
        self.boxes = np.zeros((0, 4))
        self.velocities = np.zeros((0, 4))
        self.covariances = np.zeros((0, 3))
        self.seen = np.zeros((0, 4))

    def __len__(self) -> int:
        return len(self.boxes)

    def add(self, boxes: np.ndarray) -> None:
        """Begin to filter boxes (N, 4), which get the next rows."""
        height = boxes[:, 3]
        first = np.stack(
            [(OBSERVED * height) ** 2, np.zeros(len(boxes)), (FIRST_VELOCITY * height) ** 2], axis=1
        )
        self.boxes = np.concatenate([self.boxes, boxes])
        self.velocities = np.concatenate([self.velocities, np.zeros_like(boxes)])
        self.covariances = np.concatenate([self.covariances, first])
        self.seen = np.concatenate([self.seen, boxes])

    def keep(self, rows: np.ndarray) -> None:
        """Go on with these rows (bool mask or indices) only."""
        self.boxes, self.velocities = self.boxes[rows], self.velocities[rows]
        self.covariances, self.seen = self.covariances[rows], self.seen[rows]

    def predict(self, seconds: float) -> None:
        """Move all boxes `seconds` ahead."""
        self.boxes = self.boxes + self.velocities * seconds
        limits = self.seen[:, 2:] / _MOST_RESIZED, self.seen[:, 2:] * _MOST_RESIZED
        self.boxes[:, 2:] = np.clip(self.boxes[:, 2:], *limits)
        self.velocities[:, 2:] *= 0.5 ** (seconds / _SIZE_HALVES)
        place, both, speed = self.covariances.T
        noise = (ACCELERATION * self.seen[:, 3]) ** 2
        self.covariances = np.stack(
            [
                place + 2 * both * seconds + speed * seconds**2 + noise * seconds**4 / 4,
                both + speed * seconds + noise * seconds**3 / 2,
                speed + noise * seconds**2,
            ],
            axis=1,
        )

    def update(self, rows: np.ndarray, boxes: np.ndarray) -> None:
        """Correct rows (M,) by the boxes (M, 4) that were observed."""
        place, both, speed = self.covariances[rows].T
        total = place + (OBSERVED * self.seen[rows, 3]) ** 2
        gain, faster = place / total, both / total
        surprise = boxes - self.boxes[rows]
        self.boxes[rows] += gain[:, None] * surprise
        self.velocities[rows] += faster[:, None] * surprise
        self.covariances[rows] = np.stack(
            [(1 - gain) * place, (1 - gain) * both, speed - faster * both], axis=1
        )
        self.seen[rows] = boxes
