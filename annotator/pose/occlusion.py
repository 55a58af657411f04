"""What speaks for a joint being hidden or outside the image, besides its score: geometry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Half the thickness of a limb, as a share of the height of a person's box.
_LIMB = 0.04
# Pairs of people looked at together.
_BLOCK = 1024


def border_distance(keypoints: np.ndarray, heights: np.ndarray, width: int, height: int) -> np.ndarray:
    """How far inside the image each joint lies, in heights of its person's box; negative outside.

    Args:
        keypoints: (N, K, 2) pixels of an upright image `width` wide and `height` high, whose pixels cover
            [-0.5, width - 0.5) in x, likewise in y.
        heights: (N,) pixels.

    Returns:
        (N, K) float64.
    """
    low = keypoints.astype(np.float64) + 0.5
    high = np.array([width, height]) - 0.5 - keypoints
    return np.minimum(low, high).min(axis=-1) / np.maximum(heights, 1e-9)[:, None]


def truncation(bboxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Sides on which a person's box ends at the border of the image: (N, 4) bool, left, top, right, bottom.

    A box ends there when it comes as close as a fiftieth of its own side.

    Args:
        bboxes: (N, 4) [x, y, w, h], pixels.
    """
    x, y, w, h = (bboxes[:, i] for i in range(4))
    return np.stack(
        [x <= 0.02 * w, y <= 0.02 * h, x + w >= width - 1 - 0.02 * w, y + h >= height - 1 - 0.02 * h], axis=1
    )


def covered(
    keypoints: np.ndarray, bboxes: np.ndarray, edges: Sequence[tuple[int, int]], solid: np.ndarray
) -> np.ndarray:
    """How much each joint lies behind a limb of somebody who stands nearer to the camera.

    Nearer is whose box ends lower in the picture: people stand on one ground. 1 on the middle of a limb,
    exp(-1/2) at its surface, 0 far from all.

    Args:
        keypoints: (N, K, 2), bboxes: (N, 4) [x, y, w, h]; pixels of one image.
        edges: pairs of joints that limbs join.
        solid: (N,) bool, who can cover others; phantoms and doubles cannot.

    Returns:
        (N, K) float64 in [0, 1].
    """
    result = np.zeros(keypoints.shape[:2])
    bottom = bboxes[:, 1] + bboxes[:, 3]
    low, high = keypoints.min(axis=1), keypoints.max(axis=1)
    front = np.flatnonzero(solid)
    if not len(front) or not edges:
        return result
    meet = (low[:, None] <= high[None, front]).all(axis=-1) & (low[None, front] <= high[:, None]).all(axis=-1)
    behind, column = np.nonzero(meet & (bottom[None, front] > bottom[:, None]))
    before = front[column]
    first, second = (np.array([edge[end] for edge in edges]) for end in (0, 1))
    for start in range(0, len(behind), _BLOCK):
        i, j = behind[start : start + _BLOCK], before[start : start + _BLOCK]
        distance = _to_segments(keypoints[i], keypoints[j][:, first], keypoints[j][:, second])
        radius = np.maximum(_LIMB * bboxes[j, 3], 1e-9)[:, None]
        np.maximum.at(result, i, np.exp(-((distance / radius) ** 2) / 2))
    return result


def _to_segments(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(P, K) distance of points (P, K, 2) to the nearest of the segments from a to b, (P, E, 2) each."""
    along = b - a
    length = np.maximum((along**2).sum(axis=-1), 1e-9)
    offset = points[:, :, None] - a[:, None]
    share = np.clip((offset * along[:, None]).sum(axis=-1) / length[:, None], 0, 1)
    return np.linalg.norm(offset - share[..., None] * along[:, None], axis=-1).min(axis=-1)
