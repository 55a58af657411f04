"""Skeletons on pictures: the two sides in two colours, seen joints solid, guessed ones hollow."""

from __future__ import annotations

import cv2
import numpy as np

from annotator.skeletons import Skeleton

Colour = tuple[int, int, int]

LEFT: Colour = (255, 138, 48)
RIGHT: Colour = (46, 172, 255)
MIDDLE: Colour = (240, 240, 235)
HALO: Colour = (14, 18, 26)

# cv2 draws with this many binary places below the pixel.
_PLACES = 4
_HALO_OPACITY = 0.55
_FACE = ("nose", "eye", "ear")


def draw_people(pixels: np.ndarray, people: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Draw people on a copy of a picture, the smallest first.

    Joints of v = 2 are dots and limbs between them lines; joints of v = 1 are rings and limbs that end there
    dashed; joints of v = 0 are left out.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        people: (N, K, 3) float, x and y in pixels of `pixels`, v in {0, 1, 2}.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    drawn = np.ascontiguousarray(pixels).copy()
    sides = side_colours(skeleton)
    for person in sorted(people, key=_extent):
        _draw_person(drawn, person, skeleton, sides)
    return drawn


def draw_boxes(pixels: np.ndarray, bboxes: np.ndarray) -> np.ndarray:
    """Draw thin frames on a copy of a picture: where somebody is said to be, however faint the joints.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        bboxes: (N, 4) xywh in pixels of `pixels`.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    drawn = np.ascontiguousarray(pixels).copy()
    height, width = drawn.shape[:2]
    for x, y, w, h in bboxes:
        low = np.clip((round(x), round(y)), 1, (width - 2, height - 2))
        high = np.clip((round(x + w), round(y + h)), 1, (width - 2, height - 2))
        for colour, thickness in ((HALO, 4), (MIDDLE, 2)):
            cv2.rectangle(drawn, low.tolist(), high.tolist(), colour, thickness)
    return drawn


def side_colours(skeleton: Skeleton) -> list[Colour]:
    """One colour a joint, by its name, or by the order of a mirrored pair where names do not tell."""
    colours: list[Colour] = []
    for joint, (name, mirrored) in enumerate(zip(skeleton.keypoints, skeleton.flip_indices, strict=True)):
        if name.startswith("left"):
            colours.append(LEFT)
        elif name.startswith("right"):
            colours.append(RIGHT)
        elif mirrored == joint:
            colours.append(MIDDLE)
        else:
            colours.append(LEFT if joint < mirrored else RIGHT)
    return colours


def _extent(person: np.ndarray) -> float:
    """Length in pixels of the diagonal around the joints that are shown; 0 without any."""
    shown = person[person[:, 2] > 0, :2]
    return float(np.hypot(*np.ptp(shown, axis=0))) if len(shown) else 0.0


def _draw_person(drawn: np.ndarray, person: np.ndarray, skeleton: Skeleton, sides: list[Colour]) -> None:
    width = float(np.clip(_extent(person) / 75, 1.2, 4.5))
    shade = drawn.copy()
    _strokes(shade, person, skeleton, [HALO] * len(sides), width, width)
    cv2.addWeighted(shade, _HALO_OPACITY, drawn, 1 - _HALO_OPACITY, 0, dst=drawn)
    _strokes(drawn, person, skeleton, sides, width, 0.0)


def _strokes(
    canvas: np.ndarray,
    person: np.ndarray,
    skeleton: Skeleton,
    colours: list[Colour],
    width: float,
    more: float,
) -> None:
    """Limbs, then joints, every line `more` pixels wider than usual."""
    for a, b in skeleton.edges:
        if not (person[a, 2] > 0 and person[b, 2] > 0):
            continue
        face = any(part in skeleton.keypoints[joint] for joint in (a, b) for part in _FACE)
        colour = colours[a] if colours[a] == colours[b] else _between(colours[a], colours[b])
        stroke = width * (0.6 if face else 0.8 if colour == MIDDLE else 1.0) + more
        if person[a, 2] == 2 and person[b, 2] == 2:
            _line(canvas, person[a, :2], person[b, :2], colour, stroke)
        else:
            start, end = _outside_rings(person[a], person[b], width * 2)
            _dashes(canvas, start, end, colour, stroke * 0.8, 3.2 * width)
    for joint, (x, y, v) in enumerate(person):
        if v <= 0:
            continue
        face = any(part in skeleton.keypoints[joint] for part in _FACE)
        radius = width * (0.95 if face else 1.35)
        if v == 2:
            _disc(canvas, x, y, radius + more / 2, colours[joint], cv2.FILLED)
        else:
            _disc(canvas, x, y, radius * 1.15, colours[joint], max(1, round(width * 0.55 + more)))


def _outside_rings(a: np.ndarray, b: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """The ends of a limb, drawn back by `radius` from joints of v = 1, whose rings stay empty."""
    along = b[:2] - a[:2]
    step = along * min(0.5, radius / max(1e-6, float(np.hypot(*along))))
    return a[:2] + step * (a[2] == 1), b[:2] - step * (b[2] == 1)


def _between(a: Colour, b: Colour) -> Colour:
    """The colour of a limb that joins two sides: that of its only side, or neutral."""
    if MIDDLE in (a, b):
        return b if a == MIDDLE else a
    return MIDDLE


def _line(canvas: np.ndarray, a: np.ndarray, b: np.ndarray, colour: Colour, width: float) -> None:
    cv2.line(canvas, _fixed(*a), _fixed(*b), colour, max(1, round(width)), cv2.LINE_AA, _PLACES)


def _dashes(
    canvas: np.ndarray, a: np.ndarray, b: np.ndarray, colour: Colour, width: float, dash: float
) -> None:
    count = max(1, round(float(np.hypot(*(b - a))) / (2 * dash)))
    for n in range(count):
        start, end = (n + 0.25) / count, (n + 0.75) / count
        _line(canvas, a + (b - a) * start, a + (b - a) * end, colour, width)


def _disc(canvas: np.ndarray, x: float, y: float, radius: float, colour: Colour, thickness: int) -> None:
    cv2.circle(canvas, _fixed(x, y), round(radius * (1 << _PLACES)), colour, thickness, cv2.LINE_AA, _PLACES)


def _fixed(x: float, y: float) -> tuple[int, int]:
    """Fixed-point coordinates; far outside ones are brought near, where cv2's integers still hold them."""
    return tuple(int(np.clip(value, -4096, 16384) * (1 << _PLACES)) for value in (x, y))  # type: ignore[return-value]
