"""How a whole image is scaled onto the input of a bottom-up or one-stage network, and the way back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from annotator.pose.crops import warp_matrices


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one image lies on the network's input.

    Attributes:
        size: (width, height) of the input, padding included.
        matrix: (2, 3), image pixels -> input pixels.
        center, scale: (2,) float32, pixels of the image: the region that the input shows.
    """

    size: tuple[int, int]
    matrix: np.ndarray
    center: np.ndarray
    scale: np.ndarray

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) input pixels -> (..., 2) float64, pixels of the image.

        As MMPose's `BottomupPoseEstimator.add_pred_to_datasample`, with UDP and without.
        """
        scale = self.scale.astype(np.float64)
        return np.asarray(points, np.float64) / np.asarray(self.size) * scale + self.center - 0.5 * scale


@dataclass(frozen=True)
class Canvas:
    """The geometry of MMPose's `BottomupResize` at its one test scale.

    Attributes:
        input_size: (width, height) that the config names.
        size_factor: the input's sides are multiples of it.
        resize_mode: "fit": the image lies within `input_size`, the rest is padding; "expand": the image
            covers `input_size`, and its longer side makes the input longer.
        use_udp: unbiased data processing (Huang et al. 2020): aligns pixel centres instead of pixel edges.
    """

    input_size: tuple[int, int]
    size_factor: int = 32
    resize_mode: Literal["fit", "expand"] = "fit"
    use_udp: bool = False

    def __post_init__(self) -> None:
        if self.resize_mode not in ("fit", "expand"):
            raise ValueError(f"resize_mode {self.resize_mode!r} is neither 'fit' nor 'expand'")
        if self.resize_mode == "fit" and self._ceil(self.input_size) != tuple(self.input_size):
            raise ValueError(f"input_size {self.input_size} is no multiple of {self.size_factor}")

    def place(self, width: int, height: int) -> Placement:
        """The placement of an image of that size, in pixels."""
        resized, size = self._sizes(width / height)
        if self.use_udp:
            center = np.array([(width - 1.0) / 2, (height - 1.0) / 2], np.float32)
            scale = np.array([width, height], np.float32)
            target: tuple[float, float] = resized
        else:
            center = np.array([width / 2, height / 2], np.float32)
            scale = np.array([width * size[0] / resized[0], height * size[1] / resized[1]], np.float32)
            target = size
        matrix = warp_matrices(center[None], scale[None], target, self.use_udp)[0]  # type: ignore[arg-type]
        return Placement(size, matrix, center, scale)

    def _sizes(self, ratio: float) -> tuple[tuple[float, float], tuple[int, int]]:
        """Size of the resized image and of the input, both (width, height)."""
        w, h = self._ceil(self.input_size)
        if self.resize_mode == "fit":
            return (min(w, h * ratio), min(h, w / ratio)), (w, h)
        resized = (max(w, h * ratio), max(h, w / ratio))
        return resized, self._ceil(resized)

    def _ceil(self, size: tuple[float, float]) -> tuple[int, int]:
        w, h = (math.ceil(side / self.size_factor) * self.size_factor for side in size)
        return w, h
