"""The truth of a frame: boxes, areas, masks and keypoints with COCO's visibility, from what was drawn."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from annotator.synth.body import CLOTH, FOOT, FOREARM, HAIR, HAND, HEAD, NECK, SHIN, THIGH, TORSO, UPPER_ARM
from annotator.synth.camera import NEAR
from annotator.synth.render import Frame
from annotator.synth.scene import Scene

SMALLEST_AREA = 20  # visible pixels; whoever shows less is left out, as an annotator would

# How far (metres, body of 1.7 m) the surface may lie in front of a joint that counts as seen, and which
# body parts may show it. A joint is inside the body; its skin is not.
_DEPTH = np.array(
    [
        0.03,
        0.03,
        0.03,
        0.035,
        0.035,
        0.13,
        0.13,
        0.085,
        0.085,
        0.06,
        0.06,
        0.19,
        0.19,
        0.10,
        0.10,
        0.085,
        0.085,
    ]
)
_LOOSE = {CLOTH: 0.08, FOOT[0]: 0.02, FOOT[1]: 0.02}  # more where a garment or shoe stands off
_PARTS: tuple[set[int], ...] = (
    {HEAD}, {HEAD}, {HEAD}, {HEAD}, {HEAD},
    {TORSO, UPPER_ARM[0], NECK, CLOTH}, {TORSO, UPPER_ARM[1], NECK, CLOTH},
    {UPPER_ARM[0], FOREARM[0]}, {UPPER_ARM[1], FOREARM[1]},
    {FOREARM[0], HAND[0]}, {FOREARM[1], HAND[1]},
    {TORSO, THIGH[0], CLOTH}, {TORSO, THIGH[1], CLOTH},
    {THIGH[0], SHIN[0], CLOTH}, {THIGH[1], SHIN[1], CLOTH},
    {SHIN[0], FOOT[0], CLOTH}, {SHIN[1], FOOT[1], CLOTH},
)  # fmt: skip
_NOSE_AND_EYES, _EARS = slice(0, 3), slice(3, 5)
assert HAIR not in set().union(*_PARTS), "hair over a joint hides it"


@dataclass(frozen=True)
class Truth:
    """One visible person.

    Attributes:
        person: index in the scene. identity: the person over time.
        bbox: x, y, width, height of the visible mask in pixels; the mask covers whole pixels, so x and y
            are pixel indices and x + width is one past the last column.
        area: pixels of the mask. mask: (H, W) bool.
        keypoints: (17, 3) float64 x, y (pixel index; 0, 0 when v = 0) and v: 0 outside the picture, or on
            a face that is turned away; 1 inside but hidden, 2 seen.
        pose: name in the pose library.
    """

    person: int
    identity: int
    bbox: tuple[float, float, float, float]
    area: int
    mask: np.ndarray
    keypoints: np.ndarray
    pose: str


def annotate(scene: Scene, frame: Frame, smallest_area: int = SMALLEST_AREA) -> list[Truth]:
    """The truth about everyone of whom at least `smallest_area` pixels are seen, in the scene's order."""
    camera = scene.camera
    size = (camera.width, camera.height)
    factor = frame.owner.shape[1] // camera.width
    out = []
    for i, placed in enumerate(scene.people):
        theirs = frame.owner == i
        share = cv2.resize(theirs.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        # Half a pixel each: the first sample decides, so that masks never overlap.
        mask = (share > 0.5) | ((share == 0.5) & theirs[::factor, ::factor])
        area = int(mask.sum())
        if area < smallest_area:
            continue
        columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        bbox = (
            float(columns[0]),
            float(rows[0]),
            float(columns[-1] - columns[0] + 1),
            float(rows[-1] - rows[0] + 1),
        )
        keypoints = _keypoints(scene, frame, i)
        out.append(Truth(i, placed.person.identity, bbox, area, mask, keypoints, placed.pose.name))
    return out


def _keypoints(scene: Scene, frame: Frame, person: int) -> np.ndarray:
    camera, placed = scene.camera, scene.people[person]
    factor = frame.owner.shape[1] // camera.width
    projected = camera.project(placed.keypoints).astype(np.float64)
    scale = placed.person.shape.height / 1.7
    out = np.zeros((17, 3))
    depths = projected[:, 2]
    # Nobody labels nose and eyes on the back of a head, where even their places cannot be seen.
    turned_away = depths[_NOSE_AND_EYES].min() > depths[_EARS].max()
    for joint, (x, y, depth) in enumerate(projected):
        if depth < NEAR or not (-0.5 <= x < camera.width - 0.5 and -0.5 <= y < camera.height - 0.5):
            continue
        if turned_away and joint < _NOSE_AND_EYES.stop:
            continue
        out[joint] = x, y, 1
        column, row = int((x + 0.5) * factor), int((y + 0.5) * factor)
        for dx, dy in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
            c = min(max(column + dx, 0), frame.owner.shape[1] - 1)
            r = min(max(row + dy, 0), frame.owner.shape[0] - 1)
            part = int(frame.part[r, c])
            if frame.owner[r, c] != person or part not in _PARTS[joint]:
                continue
            in_front = depth - 1 / frame.inverse_depth[r, c]
            if in_front < (_DEPTH[joint] + _LOOSE.get(part, 0.0)) * scale + 0.012:
                out[joint, 2] = 2
                break
    return out
