"""Meshes that hang free of the body: skirts, coat tails, long hair, ponytails, buns, backpacks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotator.synth.body import CLOTH, FOOT, HAIR, THIGH, TORSO, Shape, body_model
from annotator.synth.outfit import Outfit
from annotator.synth.props import ellipsoid, rounded_box


@dataclass(frozen=True)
class Garment:
    """A rest mesh (V, 3), its faces and its (V, B) skinning weights; `kind` says how to paint it."""

    kind: str
    vertices: np.ndarray
    faces: np.ndarray
    weights: np.ndarray
    part: int


def grid_faces(rows: int, columns: int, closed: bool) -> np.ndarray:
    """(F, 3) triangles of a rows x columns lattice; `closed` joins the last column to the first."""
    r, c = np.mgrid[: rows - 1, : columns if closed else columns - 1]
    a, b = r * columns + c, r * columns + (c + 1) % columns
    lower = np.stack([a, b, a + columns], -1).reshape(-1, 3)
    upper = np.stack([b, b + columns, a + columns], -1).reshape(-1, 3)
    return np.concatenate([lower, upper]).astype(np.int32)


def _hanging(
    shape: Shape, outfit: Outfit, rest: np.ndarray, top: float, bottom: float, kind: str, slack: float
) -> Garment:
    """A tube round hips and thighs from height `top` to `bottom`, widening downwards."""
    body = body_model()
    joints, vertices = shape.joints, rest
    scale = shape.height / 1.7
    trunk = np.isin(body.vertex_part, (TORSO, *THIGH))

    def ellipse(z: float) -> np.ndarray:
        ring = vertices[trunk & (np.abs(vertices[:, 2] - z) < 0.035 * scale)]
        low, high = ring.min(0), ring.max(0)
        return np.array([np.abs(ring[:, 0]).max(), (high[1] - low[1]) / 2, (high[1] + low[1]) / 2])

    hips = joints[body.bone["upperleg01.L"], 2] - 0.03 * scale
    waist_ring, hip_ring = ellipse(top), ellipse(hips)
    hip_ring[:2] = np.maximum(hip_ring[:2], waist_ring[:2])
    columns, rows = 32, 10
    turn = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    z = np.linspace(top, bottom, rows)[:, None]
    below = top - z
    mix = np.clip(below / max(top - hips, 0.02), 0, 1)
    wide = np.maximum(0, hips - z) * (0.12 + outfit.flare * 12 * (kind == "skirt"))
    a, b, middle = (waist_ring[k] * (1 - mix) + hip_ring[k] * mix for k in range(3))
    away = slack - 0.02 * scale * (1 - np.clip(below / (0.05 * scale), 0, 1))  # starts under the cloth
    folds = 1 + 0.05 * mix * np.sin(turn * 7 + outfit.seed)
    x = (a + away + wide) * folds * np.cos(turn)
    y = middle + (b + away + wide) * folds * np.sin(turn)
    mesh = np.stack([x, y, np.broadcast_to(z, x.shape)], -1).reshape(-1, 3).astype(np.float32)
    weights = np.zeros((len(mesh), len(body.bones)), np.float32)
    thighs = 0.92 * np.clip((hips + 0.04 * scale - mesh[:, 2]) / (0.25 * scale), 0, 1)
    left = 1 / (1 + np.exp(-mesh[:, 0] / (a.max() * 0.3)))
    weights[:, body.bone["root"]] = 1 - thighs
    weights[:, body.bone["upperleg01.L"]] = thighs * left
    weights[:, body.bone["upperleg01.R"]] = thighs * (1 - left)
    return Garment(kind, mesh, grid_faces(rows, columns, closed=True), weights, CLOTH)


def _curtain(shape: Shape, outfit: Outfit) -> Garment:
    """Hair from temple to temple round the back of the head, hanging to neck or back."""
    body, hair = body_model(), outfit.hair
    marks = body.keypoints(shape.vertices)
    scale = (marks[3, 0] - marks[4, 0]) / (body.landmarks[3, 0] - body.landmarks[4, 0])
    center_y, half_width = marks[3, 1] + 0.018 * scale, (marks[3, 0] - marks[4, 0]) / 2
    columns, rows = 22, 9
    turn = np.linspace(np.radians(-28), np.radians(208), columns)
    drop = np.linspace(0, 1, rows)[:, None]
    tucked = 0.022 * (1 - np.clip(drop / 0.2, 0, 1))  # begins inside the hair on the skull
    radius_x = half_width + hair.thickness + 0.004 - 0.012 * scale * drop - tucked
    radius_y = (0.088 * scale + hair.thickness - tucked) * (
        1 - 0.42 * np.clip(drop * hair.length / 0.2, 0, 1)
    )
    ripple = 1 + 0.06 * np.sin(turn * 9 + outfit.seed) * drop
    x = radius_x * np.cos(turn) * ripple
    y = center_y + radius_y * np.sin(turn) * ripple
    top = marks[1, 2] + 0.045 * scale
    z = np.broadcast_to(top - drop * (hair.length * scale + 0.045), x.shape)
    mesh = np.stack([x, y, z], -1).reshape(-1, 3).astype(np.float32)
    neck, back = shape.joints[body.bone["neck01"], 2], np.clip
    weights = np.zeros((len(mesh), len(body.bones)), np.float32)
    on_back = back((neck + 0.04 - mesh[:, 2]) / 0.12, 0, 0.85)
    weights[:, body.bone["head"]] = 1 - on_back
    weights[:, body.bone["spine01"]] = on_back
    # Hair that reaches the back lies on it, not in it.
    deep = mesh[:, 2] < neck
    mesh[deep, 1] += 0.07 * scale * np.clip((neck - mesh[deep, 2]) / 0.15, 0, 1)
    return Garment("hair", mesh, grid_faces(rows, columns, closed=False), weights, HAIR)


def _ponytail(shape: Shape, outfit: Outfit) -> Garment:
    body, hair = body_model(), outfit.hair
    marks = body.keypoints(shape.vertices)
    columns, rows = 10, 9
    along = np.linspace(0, 1, rows)[:, None]
    turn = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    radius = 0.03 * np.sin(np.pi * np.clip(along * 0.85 + 0.15, 0, 1)) + 0.004
    center_y = marks[3, 1] + 0.1 + 0.05 * np.sin(along * 2.2)
    center_z = marks[1, 2] + 0.05 + 0.02 * np.sin(along * 3) - along * hair.length * 0.8
    x = radius * np.cos(turn)
    y = center_y + radius * np.sin(turn)
    z = np.broadcast_to(center_z, x.shape)
    mesh = np.stack([x, y, z], -1).reshape(-1, 3).astype(np.float32)
    return _rigid("hair", mesh, grid_faces(rows, columns, closed=True), "head", HAIR)


# From heel (0) to toe (1): half width and height of a shoe, as shares of the foot's half width and length.
_SHOE = np.array(
    [[0.0, 0.0, 0.12], [0.02, 0.4, 0.22], [0.08, 0.66, 0.33], [0.18, 0.76, 0.36], [0.3, 0.78, 0.38],
     [0.42, 0.8, 0.35], [0.55, 0.88, 0.29], [0.68, 0.98, 0.24], [0.8, 1.0, 0.21], [0.9, 0.84, 0.19],
     [0.96, 0.6, 0.16], [0.99, 0.34, 0.12], [1.0, 0.0, 0.07]])  # fmt: skip


def _shoe(shape: Shape, side: int) -> Garment:
    """A closed shoe lofted over the foot; it turns with the foot as one piece."""
    body = body_model()
    foot = shape.vertices[(body.vertex_part == FOOT[side]) & (body.leg > 2.0)]
    low = foot[:, 2].min()
    plan = foot[foot[:, 2] < low + 0.06][:, :2]
    middle = (plan.min(0) + plan.max(0)) / 2
    along = np.linalg.eigh(np.cov((plan - middle).T))[1][:, 1]
    along *= -np.sign(along[1])  # towards the toes
    across = np.array([-along[1], along[0]])
    reach, lateral = (plan - middle) @ along, (plan - middle) @ across
    begin, length = reach.min() - 0.008, np.ptp(reach) + 0.02
    half, offset = np.ptp(lateral) / 2 + 0.005, (lateral.max() + lateral.min()) / 2
    turn = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    c, s = np.cos(turn), np.sin(turn)
    sideways = np.sign(c) * np.abs(c) ** 0.6
    t, wide, tall = _SHOE.T[:, :, None]
    x = sideways * wide * half + offset
    up = np.where(s > 0, np.abs(s) ** 0.75, 0.0) * tall * length - 0.012 * (s <= 0)
    spot = middle + (begin + t * length)[..., None] * along + x[..., None] * across
    mesh = np.concatenate([spot, (low + up)[..., None]], -1).reshape(-1, 3)
    bone = "foot.L" if side == 0 else "foot.R"
    return _rigid("shoe", mesh, grid_faces(len(_SHOE), len(turn), closed=True), bone, FOOT[side])


def _rigid(kind: str, vertices: np.ndarray, faces: np.ndarray, bone: str, part: int) -> Garment:
    body = body_model()
    weights = np.zeros((len(vertices), len(body.bones)), np.float32)
    weights[:, body.bone[bone]] = 1
    return Garment(kind, vertices.astype(np.float32), faces, weights, part)


def garments(shape: Shape, outfit: Outfit, rest: np.ndarray) -> list[Garment]:
    """Everything of the outfit that is not the body's own surface; `rest` (V, 3) is the dressed body."""
    body = body_model()
    out: list[Garment] = []
    if not outfit.barefoot:
        out += [_shoe(shape, side) for side in (0, 1)]
    scale = shape.height / 1.7
    joints = shape.joints
    waist = joints[body.bone["upperleg01.L"], 2] + 0.09 * scale
    knee, ankle = joints[body.bone["lowerleg01.L"], 2], joints[body.bone["foot.L"], 2]
    if outfit.skirt:
        low = waist + (knee - waist) * min(outfit.skirt, 1) + (ankle - knee) * max(0.0, outfit.skirt - 1)
        out.append(_hanging(shape, outfit, rest, waist, low, "skirt", 0.012))
    if outfit.drape and outfit.hem < 0.5:
        low = waist - (0.06 + outfit.drape) * scale
        out.append(_hanging(shape, outfit, rest, waist + 0.02 * scale, low, "tail", 0.014))
    covered = outfit.hat is not None and outfit.hat_kind == "helmet"
    marks = body.keypoints(shape.vertices)
    if outfit.hair.style in ("bob", "long"):
        out.append(_curtain(shape, outfit))
    elif outfit.hair.style == "ponytail":
        out.append(_ponytail(shape, outfit))
    elif outfit.hair.style == "bun" and not covered:
        high = outfit.hair.fringe > 0.004
        at = np.array([0, marks[3, 1] + (0.05 if high else 0.10), marks[1, 2] + (0.125 if high else 0.05)])
        out.append(_rigid("hair", *ellipsoid(at, (0.042, 0.036, 0.036)), "head", HAIR))
    if outfit.backpack is not None:
        chest = joints[body.bone["spine01"]]
        back = shape.vertices[
            (body.vertex_part == TORSO) & (np.abs(shape.vertices[:, 2] - chest[2]) < 0.05), 1
        ].max()
        at = np.array([0, back + 0.075 * scale, chest[2] - 0.06 * scale])
        mesh, faces = rounded_box(at, np.array([0.3, 0.17, 0.42]) * scale)
        out.append(_rigid("backpack", mesh, faces, "spine01", CLOTH))
    return out
