"""A pinhole camera in a world of metres: x right, y away from the viewer, z up."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from annotator.synth.rotation import about_x, about_z
from annotator.synth.vectors import f32

NEAR = 0.05  # metres; nothing nearer is drawn
_LEVEL = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # rows: right, down, forward


@dataclass(frozen=True)
class Camera:
    """`focal` in pixels; `pitch` (positive looks down), `yaw` and `roll` in degrees."""

    width: int
    height: int
    focal: float
    position: tuple[float, float, float]
    pitch: float = 0.0
    roll: float = 0.0
    yaw: float = 0.0

    @property
    def rotation(self) -> np.ndarray:
        """(3, 3) world to camera; camera axes are right, down, forward."""
        return (about_z(self.roll) @ about_x(self.pitch) @ _LEVEL @ about_z(self.yaw).T).astype(np.float32)

    def supersampled(self, factor: int) -> Camera:
        """The same view with `factor` times as many pixels a side."""
        return replace(
            self, width=self.width * factor, height=self.height * factor, focal=self.focal * factor
        )

    def project(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) float32 pixel-index x, y (centre of the first pixel is 0) and depth in metres."""
        seen = (points - f32(self.position)) @ self.rotation.T
        depth = seen[:, 2]
        scale = self.focal / np.maximum(depth, 1e-3)
        x = self.width / 2 + seen[:, 0] * scale - 0.5
        y = self.height / 2 + seen[:, 1] * scale - 0.5
        return np.stack([x, y, depth], 1).astype(np.float32)

    def rays(self) -> np.ndarray:
        """(H, W, 3) float32 world directions through the pixel centres, one metre deep."""
        rotation = self.rotation
        x = ((np.arange(self.width) + 0.5 - self.width / 2) / self.focal).astype(np.float32)
        y = ((np.arange(self.height) + 0.5 - self.height / 2) / self.focal).astype(np.float32)
        return (y[:, None] * rotation[1] + rotation[2])[:, None] + x[:, None] * rotation[0]

    def rays_at(self, pixels: np.ndarray) -> np.ndarray:
        """(N, 3) float32, as `rays`, for flat pixel indices (row * width + column)."""
        rows, columns = np.divmod(pixels, self.width)
        x = ((columns + 0.5 - self.width / 2) / self.focal).astype(np.float32)
        y = ((rows + 0.5 - self.height / 2) / self.focal).astype(np.float32)
        rotation = self.rotation
        return x[:, None] * rotation[0] + y[:, None] * rotation[1] + rotation[2]
