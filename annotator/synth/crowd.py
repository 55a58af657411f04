"""A crowd that walks to and fro, as boxes and joints without pixels: thousands of frames in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from annotator.synth.camera import Camera
from annotator.synth.gait import stride_length, walk_cycle, walking_speed
from annotator.synth.person import place_person, sample_person
from annotator.synth.poses import relaxed
from annotator.synth.rotation import about_z

_PHASES = 48
_BODIES = 3
# Of the body's vertices, every so many-th: enough for a box within a pixel.
_VERTEX_STEP = 13
_SMALLEST_SHARE = 0.2
_EVENNESS = 0.97
# A body fills about so much of the width of its box.
_BODY_WIDTH = 0.6


@dataclass(frozen=True, slots=True)
class CrowdFrame:
    """The visible people of one frame, N of them.

    Attributes:
        identities: (N,) int64.
        bboxes: (N, 4) float64 [x, y, w, h] in pixels, whole bodies, cut at the picture's edges.
        keypoints: (N, 17, 3) float64 x, y and v: 0 outside the picture, 1 behind somebody, 2 free.
        shares: (N,) float64, how much of the box nobody nearer covers.
    """

    identities: np.ndarray
    bboxes: np.ndarray
    keypoints: np.ndarray
    shares: np.ndarray


@dataclass(frozen=True, slots=True)
class _Walker:
    body: int
    size: float
    start: np.ndarray
    end: np.ndarray
    speed: float
    begin: float


class Crowd:
    """Walkers on lanes before a camera, in both directions, so that they keep crossing.

    Args:
        seed: another crowd. people: how many. size: of the picture, pixels.
    """

    def __init__(self, seed: int = 0, people: int = 20, size: tuple[int, int] = (1920, 1080)) -> None:
        rng = np.random.default_rng([seed, people])
        self._size = size
        self._camera = Camera(*size, focal=1.1 * size[0], position=(0.0, 0.0, 3.2), pitch=12.0)
        reach = size[0] / self._camera.focal / 2
        self._walkers = []
        for number in range(people):
            y = 7.0 + 15.0 * (number + rng.uniform(0, 1)) / people
            span = reach * y * rng.uniform(0.55, 0.9)
            ends = np.array([[-span, y + rng.uniform(-1.2, 1.2)], [span, y + rng.uniform(-1.2, 1.2)]])
            if rng.random() < 0.5:
                ends = ends[::-1]
            size_of = rng.uniform(0.92, 1.08)
            body = int(rng.integers(_BODIES))
            speed = _gait(body).speed * size_of * rng.uniform(0.8, 1.15)
            self._walkers.append(
                _Walker(body, size_of, ends[0], ends[1], speed, rng.uniform(0, 2 * span / speed))
            )

    def frame(self, time: float) -> CrowdFrame:
        """Who is seen `time` seconds after the beginning."""
        seen = [self._project(walker, time) for walker in self._walkers]
        keypoints, boxes = np.array([s[0] for s in seen]), np.array([s[1] for s in seen])
        width, height = self._size
        inside = ((keypoints[..., :2] >= -0.5) & (keypoints[..., :2] < np.array([width, height]) - 0.5)).all(
            axis=-1
        )
        low, high = boxes[:, :2].clip(0), np.minimum(boxes[:, 2:], [width, height])
        shares, hidden = self._hidden(low, high, keypoints, np.array([s[2] for s in seen]))
        keypoints[..., 2] = np.where(~inside, 0, np.where(hidden, 1, 2))
        there = (shares >= _SMALLEST_SHARE) & ((high - low) > 4).all(axis=1)
        return CrowdFrame(
            np.flatnonzero(there),
            np.concatenate([low, high - low], axis=1)[there],
            keypoints[there],
            shares[there],
        )

    def _project(self, walker: _Walker, time: float) -> tuple[np.ndarray, np.ndarray, float]:
        """Joints (17, 3) in pixels and depth, box [x1, y1, x2, y2], distance."""
        gait = _gait(walker.body)
        way = walker.end - walker.start
        length = float(np.hypot(*way))
        # Nearly a triangle in time: they slow down, turn, and walk back.
        angle = np.pi * (time + walker.begin) * walker.speed / length
        share = 0.5 + np.arcsin(_EVENNESS * np.sin(angle)) / np.arcsin(_EVENNESS) / 2
        spot = walker.start + way * share
        if np.cos(angle) < 0:
            way = -way
        phase = (time + walker.begin) * walker.speed / (gait.stride * walker.size)
        turn = about_z(float(np.degrees(np.arctan2(way[0], -way[1])))).T
        place = int(phase * _PHASES) % _PHASES
        shift = np.array([spot[0], spot[1], 0.0])
        joints = self._camera.project((gait.joints[place] * walker.size @ turn + shift).astype(np.float32))
        outline = self._camera.project((gait.outline[place] * walker.size @ turn + shift).astype(np.float32))
        box = np.concatenate([outline[:, :2].min(axis=0), outline[:, :2].max(axis=0)])
        return joints.astype(np.float64), box.astype(np.float64), float(spot[1])

    def _hidden(
        self, low: np.ndarray, high: np.ndarray, keypoints: np.ndarray, distances: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Shares (N,) of the boxes that nobody nearer covers, and which joints (N, K) are behind somebody."""
        shares, hidden = np.ones(len(low)), np.zeros(keypoints.shape[:2], bool)
        inset = (high - low) * [(1 - _BODY_WIDTH) / 2, 0.0]
        for far in range(len(low)):
            nearer = np.flatnonzero(distances < distances[far])
            columns = np.linspace(low[far, 0], high[far, 0], 12)
            rows = np.linspace(low[far, 1], high[far, 1], 12)
            points = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
            a, b = (low + inset)[nearer, None], (high - inset)[nearer, None]
            covered = ((points >= a) & (points <= b)).all(axis=-1).any(axis=0)
            shares[far] = 1 - covered.mean()
            joints = keypoints[far, :, :2]
            hidden[far] = ((joints >= a) & (joints <= b)).all(axis=-1).any(axis=0)
        return shares, hidden


@dataclass(frozen=True, slots=True)
class _Gait:
    """A walking body on the spot, metres: joints (P, 17, 3), outline (P, V, 3); stride in metres, speed."""

    joints: np.ndarray
    outline: np.ndarray
    stride: float
    speed: float


@cache
def _gait(body: int) -> _Gait:
    rng = np.random.default_rng([77, body])
    person = sample_person(rng)
    upper = relaxed(rng, "walk", "ground")
    joints, outline = [], []
    for place in range(_PHASES):
        walk_cycle(upper, 360 * place / _PHASES)
        placed = place_person(person, upper, 0.0, 0.0)
        joints.append(placed.keypoints)
        outline.append(placed.vertices[::_VERTEX_STEP])
    leg = person.leg_length
    return _Gait(np.array(joints), np.array(outline), stride_length(leg), walking_speed(leg))
