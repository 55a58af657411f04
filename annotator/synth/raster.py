"""Triangles to pixels: a z-buffer with face ids, and the attributes of what each pixel shows."""

from __future__ import annotations

import numba
import numpy as np

from annotator.synth.camera import NEAR


@numba.njit(cache=True, fastmath=True, nogil=True)
def fill(projected, faces, first_face, inverse_depth, face_ids):
    """Draw triangles where they are nearer than what is there.

    Args:
        projected: (V, 3) float32 pixel-index x, y and depth.
        faces: (F, 3) int32.
        first_face: the id of face 0.
        inverse_depth: (H, W) float32, 0 where empty; changed in place.
        face_ids: (H, W) int32, -1 where empty; changed in place.
    """
    height, width = face_ids.shape
    for f in range(faces.shape[0]):
        a, b, c = projected[faces[f, 0]], projected[faces[f, 1]], projected[faces[f, 2]]
        if a[2] < NEAR or b[2] < NEAR or c[2] < NEAR:
            continue
        left, right = min(a[0], b[0], c[0]), max(a[0], b[0], c[0])
        top, bottom = min(a[1], b[1], c[1]), max(a[1], b[1], c[1])
        if right < 0 or bottom < 0 or left > width - 1 or top > height - 1:
            continue
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(area) < 1e-9:
            continue
        inverse_area = 1.0 / area
        wa, wb, wc = 1.0 / a[2], 1.0 / b[2], 1.0 / c[2]
        for y in range(max(0, int(np.ceil(top))), min(height - 1, int(np.floor(bottom))) + 1):
            for x in range(max(0, int(np.ceil(left))), min(width - 1, int(np.floor(right))) + 1):
                u = ((b[0] - x) * (c[1] - y) - (b[1] - y) * (c[0] - x)) * inverse_area
                v = ((c[0] - x) * (a[1] - y) - (c[1] - y) * (a[0] - x)) * inverse_area
                if u < 0 or v < 0 or u + v > 1:
                    continue
                w = u * wa + v * wb + (1 - u - v) * wc
                if w > inverse_depth[y, x]:
                    inverse_depth[y, x] = w
                    face_ids[y, x] = first_face + f


@numba.njit(cache=True, fastmath=True, nogil=True)
def interpolate(positions, local_faces, vertices, faces, attributes, out):
    """Attributes at points on triangles, by barycentric coordinates in space.

    Args:
        positions: (N, 3) float32 world points. local_faces: (N,) int32 face of each.
        vertices: (V, 3) float32. faces: (F, 3) int32. attributes: (V, A) float32. out: (N, A) float32.
    """
    for n in range(positions.shape[0]):
        i, j, k = faces[local_faces[n], 0], faces[local_faces[n], 1], faces[local_faces[n], 2]
        d11 = numba.float32(0.0)
        d12 = numba.float32(0.0)
        d22 = numba.float32(0.0)
        p1 = numba.float32(0.0)
        p2 = numba.float32(0.0)
        for axis in range(3):
            e1 = vertices[j, axis] - vertices[i, axis]
            e2 = vertices[k, axis] - vertices[i, axis]
            p = positions[n, axis] - vertices[i, axis]
            d11 += e1 * e1
            d12 += e1 * e2
            d22 += e2 * e2
            p1 += p * e1
            p2 += p * e2
        determinant = d11 * d22 - d12 * d12 + numba.float32(1e-20)
        v = min(max((d22 * p1 - d12 * p2) / determinant, 0.0), 1.0)
        w = min(max((d11 * p2 - d12 * p1) / determinant, 0.0), 1.0)
        u = max(1 - v - w, 0.0)
        for a in range(attributes.shape[1]):
            out[n, a] = u * attributes[i, a] + v * attributes[j, a] + w * attributes[k, a]
