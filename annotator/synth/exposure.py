"""What a camera does to light: exposure, colour cast, lens and motion blur, noise, vignette, poor scaling."""

from __future__ import annotations

import cv2
import numpy as np


def expose(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 radiance to uint8 RGB. Geometry does not change, so the truth stays true."""
    h, w = pixels.shape[:2]
    image = pixels * np.float32(rng.uniform(0.8, 1.3)) * rng.uniform(0.93, 1.07, 3).astype(np.float32)
    if rng.random() < 0.35:
        y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j].astype(np.float32)
        image = image * (1 - rng.uniform(0.05, 0.35) * (x * x + y * y) / 2)[..., None]
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < 0.1:
        image = _motion_blur(rng, image)
    if rng.random() < 0.12:  # enlarged from fewer pixels
        factor = rng.uniform(0.4, 0.8)
        small = cv2.resize(
            image, (max(8, int(w * factor)), max(8, int(h * factor))), interpolation=cv2.INTER_AREA
        )
        image = cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)
    image = np.clip(image, 0, 1) ** np.float32(rng.uniform(0.75, 1.2))
    if rng.random() < 0.35:  # less or more colour
        grey = image.mean(2, keepdims=True)
        image = grey + (image - grey) * np.float32(rng.uniform(0.0, 1.4))
    grain = rng.uniform(0.002, 0.03) if rng.random() < 0.8 else rng.uniform(0.03, 0.07)
    channels = 1 if rng.random() < 0.5 else 3
    image = image + rng.standard_normal((h, w, channels), dtype=np.float32) * np.float32(grain)
    return np.ascontiguousarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))


def _motion_blur(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    length = max(3, int(image.shape[1] * rng.uniform(0.004, 0.016)) | 1)
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    middle = length // 2
    reach = np.array([np.cos(angle), np.sin(angle)]) * middle
    start, end = np.round(middle - reach).astype(int), np.round(middle + reach).astype(int)
    cv2.line(kernel, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), 1.0, 1)
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
