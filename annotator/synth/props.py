"""Things as triangle meshes: (V, 3) float32 metres and (F, 3) int32."""

from __future__ import annotations

from functools import cache

import numpy as np

from annotator.synth.rotation import about_z
from annotator.synth.vectors import f32

Mesh = tuple[np.ndarray, np.ndarray]


@cache
def _unit_box(divisions: int = 8) -> Mesh:
    """A cube of side 1 whose faces are finely divided, so that near ones are not lost behind the camera."""
    n = divisions + 1
    u, v = (
        g.ravel() for g in np.meshgrid(np.linspace(-0.5, 0.5, n), np.linspace(-0.5, 0.5, n), indexing="ij")
    )
    i, j = (g.ravel() for g in np.meshgrid(np.arange(divisions), np.arange(divisions), indexing="ij"))
    a = i * n + j
    quad = np.concatenate([np.stack([a, a + 1, a + n], 1), np.stack([a + 1, a + n + 1, a + n], 1)])
    vertices, faces = [], []
    for axis in range(3):
        for side in (-0.5, 0.5):
            points = np.zeros((n * n, 3))
            points[:, axis] = side
            points[:, (axis + 1) % 3], points[:, (axis + 2) % 3] = u, v
            faces.append((quad if side < 0 else quad[:, ::-1]) + len(vertices) * n * n)
            vertices.append(points)
    return np.concatenate(vertices).astype(np.float32), np.concatenate(faces).astype(np.int32)


def box(center, size, yaw: float = 0.0) -> Mesh:
    vertices, faces = _unit_box()
    turned = (vertices * f32(size)) @ about_z(yaw).T.astype(np.float32)
    return turned + f32(center), faces


def rounded_box(center, size, yaw: float = 0.0, power: float = 4.0) -> Mesh:
    """A box with soft edges (a superellipsoid)."""
    vertices, faces = _unit_box()
    norm = (np.abs(vertices * 2) ** power).sum(1, keepdims=True) ** (1 / power)
    turned = (vertices / norm * f32(size)) @ about_z(yaw).T.astype(np.float32)
    return turned.astype(np.float32) + f32(center), faces


def ellipsoid(center, radii) -> Mesh:
    vertices, faces = _unit_box()
    sphere = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    return (sphere * f32(radii) + f32(center)).astype(np.float32), faces


def cylinder(bottom, radius: float, height: float, columns: int = 20, rows: int = 8) -> Mesh:
    turn = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    z = np.repeat(np.linspace(0, height, rows + 1), columns)
    x, y = np.tile(radius * np.cos(turn), rows + 1), np.tile(radius * np.sin(turn), rows + 1)
    vertices = np.stack([x, y, z], 1) + np.asarray(bottom)
    r, c = (g.ravel() for g in np.mgrid[:rows, :columns])
    a, b = r * columns + c, r * columns + (c + 1) % columns
    sides = np.concatenate([np.stack([a, b, a + columns], 1), np.stack([b, b + columns, a + columns], 1)])
    lid = np.arange(columns) + rows * columns
    top = np.stack([lid, np.roll(lid, -1), np.full(columns, len(vertices))], 1)
    vertices = np.concatenate([vertices, np.asarray(bottom)[None] + [0, 0, height]])
    return vertices.astype(np.float32), np.concatenate([sides, top]).astype(np.int32)


def bar(start, end, radius: float) -> Mesh:
    """A thin rod between two points."""
    from annotator.synth.rotation import between

    start, end = np.asarray(start, float), np.asarray(end, float)
    vertices, faces = cylinder((0, 0, 0), radius, float(np.linalg.norm(end - start)), 10, 6)
    turn = between(np.array([0.0, 0.0, 1.0]), end - start)
    return (vertices @ turn.T + start).astype(np.float32), faces


def merged(meshes: list[Mesh]) -> Mesh:
    vertices, faces, first = [], [], 0
    for v, f in meshes:
        vertices.append(v)
        faces.append(f + first)
        first += len(v)
    return np.concatenate(vertices), np.concatenate(faces)


def chair(center_x: float, center_y: float, seat: float, yaw: float, back: bool, width: float = 0.46) -> Mesh:
    """A chair whose seat top is at height `seat`, facing `yaw` as a person does."""
    turn = about_z(yaw)

    def at(x: float, y: float, z: float) -> np.ndarray:
        return turn @ np.array([x, y, 0]) + [center_x, center_y, z]

    parts = [box(at(0, -0.08, seat - 0.04), (width, 0.46, 0.07), yaw)]
    if back:
        parts.append(box(at(0, 0.18, seat + 0.24), (width - 0.03, 0.04, 0.5), yaw))
    for x in (-width / 2 + 0.04, width / 2 - 0.04):
        for y in (-0.27, 0.12):
            parts.append(box(at(x, y, seat / 2 - 0.04), (0.04, 0.04, max(seat - 0.08, 0.05)), yaw))
    return merged(parts)


def table(center_x: float, center_y: float, height: float, width: float, depth: float, yaw: float) -> Mesh:
    turn = about_z(yaw)
    parts = [box((center_x, center_y, height), (width, depth, 0.05), yaw)]
    for x in (-0.45, 0.45):
        for y in (-0.42, 0.42):
            leg = turn @ np.array([x * width, y * depth, 0])
            parts.append(box((center_x + leg[0], center_y + leg[1], height / 2), (0.05, 0.05, height), yaw))
    return merged(parts)
