"""A pose as lines that the App lets people drag: each joint is one vertex, and finds its way back.

FiftyOne edits polylines, not keypoints. A pose is mirrored as chains of neighbouring joints which visit each
joint once, so that a vertex at (chain, place) is one joint and nothing else.

Frames: rows hold joints in pixels whose origin is the centre of the top-left pixel; FiftyOne holds fractions
of the image, whose origin is the corner of that pixel. Hence the half pixel. Boxes count from there in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from annotator.skeletons import COCO_17, Skeleton

# Ears to eyes over the nose, both arms, both legs: what a reviewer sees as one line.
_COCO_CHAINS = ((3, 1, 0, 2, 4), (5, 7, 9), (6, 8, 10), (11, 13, 15), (12, 14, 16))

# Fractions of the image: less than this is the rounding of a browser, not somebody's hand.
_MOVED = 1e-6


@dataclass(frozen=True, slots=True)
class Mirror:
    """How the K joints of a skeleton lie on chains.

    Attributes:
        chains: joint indices; each joint stands in exactly one chain.
    """

    chains: tuple[tuple[int, ...], ...]

    def to_lines(self, points: np.ndarray) -> list[list]:
        """Points (..., K, 2) as one list (..., V, 2) for each chain of V joints."""
        return [points[..., list(chain), :].tolist() for chain in self.chains]

    def to_points(self, lines: Sequence[Sequence[Sequence[float]]]) -> np.ndarray | None:
        """Points (K, 2) float64 from chains; None when a vertex was added or removed: nobody knows which."""
        if [len(line) for line in lines] != [len(chain) for chain in self.chains]:
            return None
        points = np.empty((sum(len(chain) for chain in self.chains), 2))
        for line, chain in zip(lines, self.chains, strict=True):
            points[list(chain)] = line
        return points if np.isfinite(points).all() else None


def mirror_of(skeleton: Skeleton) -> Mirror:
    """The chains of a skeleton: COCO's by hand, any other by walking along its edges."""
    if skeleton.keypoints == COCO_17.keypoints:
        return Mirror(_COCO_CHAINS)
    neighbours: dict[int, list[int]] = {joint: [] for joint in range(len(skeleton))}
    for a, b in skeleton.edges:
        neighbours[a].append(b)
        neighbours[b].append(a)
    left = set(neighbours)
    chains: list[list[int]] = []
    while left:
        # Begin at the joint with the fewest ways on: an end of a limb.
        chain = [min(left, key=lambda joint: (sum(n in left for n in neighbours[joint]), joint))]
        left.discard(chain[0])
        while ways := [n for n in neighbours[chain[-1]] if n in left]:
            chain.append(min(ways, key=lambda joint: (sum(n in left for n in neighbours[joint]), joint)))
            left.discard(chain[-1])
        chains.append(chain)
    # A line of one vertex cannot be seen or grasped: such joints lengthen another chain.
    lines = [chain for chain in chains if len(chain) > 1]
    singles = [chain[0] for chain in chains if len(chain) == 1]
    if not lines:
        return Mirror((tuple(singles),))
    for joint in singles:
        near = [chain for chain in lines if chain[-1] in neighbours[joint]]
        (near or lines)[0].append(joint)
    return Mirror(tuple(tuple(chain) for chain in lines))


def dragged(line: ArrayLike, drawn: ArrayLike) -> np.ndarray:
    """(V,) bool: which vertices (V, 2), in fractions of the image, somebody moved since they were drawn."""
    return np.abs(np.subtract(line, drawn)).max(axis=-1) > _MOVED


def to_fractions(xy: np.ndarray, size: np.ndarray | tuple[int, int]) -> np.ndarray:
    """Joints (..., 2), pixels of a row, as float64 fractions of the image of `size` (width, height)."""
    return (np.asarray(xy, np.float64) + 0.5) / size


def to_pixels(fractions: np.ndarray, size: np.ndarray | tuple[int, int]) -> np.ndarray:
    """The inverse of `to_fractions`, float64."""
    return np.asarray(fractions, np.float64) * size - 0.5
