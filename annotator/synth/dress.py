"""Clothes as geometry: the rest body pushed outward under cloth, shoes, hats, hair."""

from __future__ import annotations

import numpy as np

from annotator.synth.body import (
    FOOT,
    FOREARM,
    HAND,
    HEAD,
    NECK,
    SHIN,
    THIGH,
    TORSO,
    UPPER_ARM,
    Shape,
    body_model,
)
from annotator.synth.body import vertex_normals as normals_of
from annotator.synth.noise import noise
from annotator.synth.outfit import Outfit
from annotator.synth.vectors import f32


def hair_region(canon: np.ndarray, outfit: Outfit) -> np.ndarray:
    """(N,) bool: where hair grows, for points of the mean body's head."""
    marks = body_model().landmarks
    up, eye, ear = canon[:, 2] - marks[1, 2], marks[1], marks[3]
    behind, side = canon[:, 1] - ear[1], np.abs(canon[:, 0])
    front = up > 0.066 + outfit.hair.fringe - 0.35 * np.clip(side - 0.035, 0, 0.05)
    sides = (behind > -0.024) & (up > (-0.005 if outfit.hair.style in ("buzz", "short", "quiff") else -0.03))
    nape = -0.075 if outfit.hair.style != "buzz" else -0.06
    back = (behind > 0.012) & (up > nape)
    temples = (canon[:, 1] > eye[1] + 0.03) & (up > 0.03)
    return front | sides | back | temples


def hat_edge(canon: np.ndarray, outfit: Outfit) -> np.ndarray:
    """(N,) metres above the rim of the hat, for points of the mean body's head."""
    marks = body_model().landmarks
    rim = {"beanie": 0.035, "helmet": 0.045}.get(outfit.hat_kind, 0.052)
    return canon[:, 2] - (marks[1, 2] + rim - 0.15 * np.clip(canon[:, 1] - marks[3, 1], 0, 0.2))


def top_region(canon: np.ndarray, part: np.ndarray, arm: np.ndarray, outfit: Outfit) -> np.ndarray:
    """(N,) bool: what shirt, jumper or coat covers."""
    side = np.abs(canon[:, 0])
    collar = outfit.neckline - outfit.v_neck * np.clip(0.1 - side, 0, 1) * (canon[:, 1] < 0)
    collar = collar + 0.25 * np.clip(side - 0.07, 0, 1) + 0.03 * (canon[:, 1] > 0)
    trunk = np.isin(part, (TORSO, NECK, *THIGH)) & (canon[:, 2] > outfit.hem) & (canon[:, 2] < collar)
    return trunk | (np.isin(part, UPPER_ARM + FOREARM + HAND) & (arm < outfit.sleeve))


def bottom_region(canon: np.ndarray, part: np.ndarray, leg: np.ndarray, outfit: Outfit) -> np.ndarray:
    """(N,) bool: what trousers, shorts or tights cover."""
    waist = (part == TORSO) & (
        canon[:, 2] <= max(outfit.hem, 0.06) if outfit.hem < 0.5 else canon[:, 2] <= 0.08
    )
    return waist | (np.isin(part, THIGH + SHIN + FOOT) & (leg < outfit.trouser))


def _soft(mask: np.ndarray) -> np.ndarray:
    """(V,) float32 in 0..1: a mask of vertices with its edge spread over its neighbours: no jagged hems."""
    out = mask.astype(np.float32)
    for _ in range(3):
        out = body_model().smoothing @ out
    return np.asarray(out, np.float32)


def dress(shape: Shape, outfit: Outfit) -> np.ndarray:
    """(V, 3) float32 rest vertices of the dressed body."""
    body = body_model()
    canon, part = body.mean, body.vertex_part
    top = top_region(canon, part, body.arm, outfit)
    bottom = bottom_region(canon, part, body.leg, outfit) & ~top
    cloth = top | bottom
    vertices = shape.vertices.copy()
    # Cloth spans hollows instead of following every muscle.
    loose = np.where(top, outfit.top_loose, outfit.bottom_loose)
    smoothed = vertices.copy()
    for _ in range(3 + min(9, int(outfit.top_loose * 600))):
        smoothed = np.where(cloth[:, None], body.smoothing @ smoothed, smoothed).astype(np.float32)
    normals = normals_of(smoothed, body.faces)
    sunk = np.einsum("ij,ij->i", vertices - smoothed, normals)
    reach = np.where(top, np.minimum(1, 0.45 + np.abs(body.arm)), 0.6 + 0.4 * np.clip(body.leg, 0, 1))
    reach[part == TORSO] = 1.0
    ripple = 1 + 0.3 * noise(canon + outfit.seed, 9, 1)
    lift = np.maximum(loose * reach * ripple, sunk + 0.0025)
    lift += np.where(bottom, outfit.flare * np.clip(body.leg - 0.8, 0, 1), 0)
    cover = _soft(cloth)[:, None]
    vertices = vertices * (1 - cover) + (smoothed + normals * lift[:, None]) * cover

    normals = normals_of(vertices, body.faces)
    lift = np.zeros(len(vertices), np.float32)
    if not outfit.barefoot:  # the shoe is a mesh of its own; the foot hides in it
        for side in FOOT:
            foot = (part == side) & (body.leg > 2.0)
            center = (vertices[foot].min(0) + vertices[foot].max(0)) / 2
            vertices[foot] = center + (vertices[foot] - center) * f32([0.7, 0.85, 0.7])
    skull = part == HEAD
    hair = skull & hair_region(canon, outfit)
    lump = 0.4 if outfit.hair.style in ("curly", "afro") else 0.2
    crown = np.clip((canon[:, 2] - body.landmarks[1, 2]) / 0.1, 0.35, 1.2)
    lift[skull] = (outfit.hair.thickness * crown * (1 + lump * noise(canon + outfit.seed, 22, 2)))[skull]
    if outfit.hair.style == "quiff":
        lift[hair] += 0.03 * np.clip((body.landmarks[3, 1] - canon[hair, 1]) / 0.1, 0, 1) * crown[hair]
    lift = _soft(hair) * lift
    if outfit.hat is not None:
        above = hat_edge(canon, outfit)
        covered = skull & (above > 0)
        thick = {"beanie": 0.016, "helmet": 0.034}.get(outfit.hat_kind, 0.02)
        lift[covered] = np.minimum(lift[covered], 0.01) + thick
        brim = skull & (np.abs(above) < 0.012)
        if outfit.hat_kind == "cap":
            vertices[brim & (canon[:, 1] < -0.05)] += f32([0, -0.075, -0.004]) * shape.height / 1.7
        elif outfit.hat_kind == "brim":
            lift[brim] += 0.07
    return (vertices + normals * lift[:, None]).astype(np.float32)
