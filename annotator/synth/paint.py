"""The colour of skin, face, clothes and shoes at a point of the body, from its place on the mean body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotator.synth.body import FOOT, FOREARM, HAND, HEAD, NECK, SHIN, THIGH, TORSO, UPPER_ARM, body_model
from annotator.synth.dress import bottom_region, hair_region, hat_edge, top_region
from annotator.synth.noise import noise
from annotator.synth.outfit import Outfit
from annotator.synth.vectors import f32


@dataclass(frozen=True)
class Paint:
    """Albedo (N, 3), bump (N,) of the normal and gloss (N,) of the surface, all float32."""

    albedo: np.ndarray
    bump: np.ndarray
    gloss: np.ndarray


def hair_color(outfit: Outfit, canon: np.ndarray) -> np.ndarray:
    """(N, 3) strands that run downwards."""
    strands = noise(canon * f32([3, 3, 0.6]), 55, 2)
    return outfit.hair.color * (1 + 0.25 * strands)[:, None]


def paint_garment(kind: str, outfit: Outfit, canon: np.ndarray) -> Paint:
    """A hanging mesh, `canon` being its rest position."""
    count = len(canon)
    if kind == "hair":
        return Paint(
            hair_color(outfit, canon).astype(np.float32),
            np.full(count, 0.5, np.float32),
            np.full(count, 0.12, np.float32),
        )
    if kind == "shoe":
        return _paint_shoe(outfit, canon)
    if kind == "backpack":
        assert outfit.backpack is not None
        albedo = np.broadcast_to(outfit.backpack, (count, 3)).copy()
    else:
        albedo = (outfit.bottom if kind == "skirt" else outfit.top).paint(canon)
    weave = 1 + 0.06 * noise(canon, 26, 3)
    return Paint(
        (albedo * weave[:, None]).astype(np.float32),
        np.full(count, outfit.fold_depth, np.float32),
        np.full(count, 0.03, np.float32),
    )


def _paint_shoe(outfit: Outfit, canon: np.ndarray) -> Paint:
    low = canon[:, 2].min()
    up = canon[:, 2] - low
    albedo = np.broadcast_to(outfit.shoe, canon.shape).astype(np.float32)
    if outfit.seed % 3 > 1:  # a stripe or laces
        stripe = np.abs((canon[:, 1] * 22 + canon[:, 2] * 14) % 1 - 0.5) < 0.13
        albedo[stripe & (up > 0.035) & (up < 0.075)] = outfit.sole
    albedo[up < (0.012 if outfit.seed % 2 > 1 else 0.026)] = outfit.sole
    count = len(canon)
    return Paint(albedo, np.full(count, 0.12, np.float32), np.full(count, 0.14, np.float32))


def _paint_head(albedo: np.ndarray, canon: np.ndarray, eyes: np.ndarray, outfit: Outfit) -> np.ndarray:
    """Colours (N, 3) of head points in place; returns (N,) bool, what is hair or hat."""
    marks = body_model().landmarks
    nose, eye = marks[0], marks[1]
    side, up, deep = np.abs(canon[:, 0]), canon[:, 2], canon[:, 1]
    face = deep < -0.07
    mouth = nose[2] - 0.043
    lips = face & ((side / 0.026) ** 2 + ((up - mouth) / 0.0105) ** 2 < 1)
    albedo[lips] *= f32([0.85, 0.55, 0.55])
    albedo[lips & (np.abs(up - mouth) < 0.0018)] *= 0.45
    cheek = face & ((side - 0.04) ** 2 + (up - nose[2] + 0.01) ** 2 < 0.018**2)
    albedo[cheek] *= f32([1.03, 0.93, 0.93])
    lid = face & (np.hypot(side - eye[0], (up - eye[2]) * 1.7) < 0.021) & ~eyes
    albedo[lid] *= 0.8
    brow_line = eye[2] + 0.0175 - 0.1 * np.abs(side - 0.03)
    brow = face & (np.abs(side - 0.033) < 0.019) & (np.abs(up - brow_line) < 0.0042)
    albedo[brow] = outfit.hair.color * 0.6 + outfit.skin * 0.15
    ball = np.hypot(side - eye[0], up - eye[2])[eyes]
    albedo[eyes] = np.where(ball[:, None] < 0.0068, f32([0.2, 0.13, 0.08]), np.float32(0.85))
    albedo[np.flatnonzero(eyes)[ball < 0.003]] = 0.02
    if outfit.beard:
        bare = (side / 0.03) ** 2 + ((up - mouth) / 0.014) ** 2 < 1
        beard = (deep < -0.02) & (up < nose[2] - 0.02) & ~bare
        albedo[beard] = outfit.hair.color * 0.8 + outfit.skin * 0.15
    if outfit.mask is not None:
        albedo[(deep < -0.045) & (up < nose[2] + 0.006)] = outfit.mask
    covered = np.zeros(len(canon), bool)
    if outfit.hair.style != "bald":
        covered = hair_region(canon, outfit)
        tone = hair_color(outfit, canon[covered])
        albedo[covered] = tone * 0.75 + outfit.skin * 0.2 if outfit.hair.style == "buzz" else tone
    if outfit.glasses is not None:
        rim = np.hypot(side - eye[0], (up - eye[2]) * 1.15)
        dark = rim < 0.0235 if outfit.hair.fringe < -0.004 else np.abs(rim - 0.0225) < 0.0032
        bridge = (np.abs(up - eye[2] - 0.004) < 0.003) & ((side < 0.012) | (side > 0.05))
        albedo[(deep < -0.04) & ((dark & face) | bridge)] = outfit.glasses
    if outfit.hat is not None:
        above = hat_edge(canon, outfit)
        hat = above > -0.012 * (outfit.hat_kind in ("cap", "brim"))
        albedo[hat] = outfit.hat
        albedo[hat & (above < 0.012)] *= 0.75
        covered = covered | hat
    return covered


def paint_body(canon: np.ndarray, limbs: np.ndarray, faces: np.ndarray, outfit: Outfit) -> Paint:
    """Surface of the dressed body.

    Args:
        canon: (N, 3) place on the mean body. limbs: (N, 2) arm and leg coordinates. faces: (N,) body face.
    """
    body = body_model()
    part = body.face_part[faces]
    arm, leg = limbs[:, 0], limbs[:, 1]
    albedo = outfit.skin * (1 + 0.05 * noise(canon, 40, 2))[:, None]
    albedo = albedo.astype(np.float32)
    bump = np.full(len(canon), 0.06, np.float32)
    gloss = np.full(len(canon), 0.07, np.float32)
    head = part == HEAD
    if head.any():
        colours = albedo[head]
        hairy = _paint_head(colours, canon[head], body.eye_face[faces[head]], outfit)
        albedo[head] = colours
        bump[head] = np.where(hairy, 0.5 if outfit.hair.style in ("curly", "afro") else 0.3, 0.06)
        gloss[head] = np.where(hairy, 0.1, 0.07)
    nape = (part == NECK) & (canon[:, 1] > 0.012) & (outfit.hair.style not in ("bald", "buzz"))
    nape &= canon[:, 2] > body.landmarks[1, 2] - 0.085
    albedo[nape] = hair_color(outfit, canon[nape])

    bottom = bottom_region(canon, part, leg, outfit)
    top = top_region(canon, part, arm, outfit)
    if outfit.hem >= 0.5:  # bare chest
        top[:] = False
    bottom &= ~top
    albedo[bottom] = outfit.bottom.paint(canon[bottom])
    albedo[top] = outfit.top.paint(canon[top])
    if outfit.open_front:
        gap = top & (part == TORSO) & (np.abs(canon[:, 0]) < outfit.open_front) & (canon[:, 1] < -0.01)
        albedo[gap] = outfit.inner.paint(canon[gap])
    edge = top & (np.abs(canon[:, 2] - outfit.hem - 0.006) < 0.006) & np.isin(part, (TORSO, *THIGH))
    cuff = top & np.isin(part, UPPER_ARM + FOREARM) & (outfit.sleeve - arm < 0.06)
    albedo[edge | cuff] *= 0.8
    belt = (part == TORSO) & bottom & (canon[:, 2] > max(outfit.hem, 0.0) - 0.02)
    albedo[belt] *= 0.55
    sock = np.isin(part, SHIN + FOOT) & (leg > outfit.sock_height) & ~bottom & (not outfit.barefoot)
    albedo[sock] = outfit.sock
    cloth = top | bottom | sock
    if not outfit.barefoot:
        boot = np.isin(part, SHIN + FOOT) & (leg > outfit.shoe_height) & ~bottom
        albedo[boot] = outfit.shoe if outfit.shoe_height < 1.75 else outfit.sock
        gloss[boot] = 0.1
    if outfit.gloves is not None:
        albedo[np.isin(part, HAND)] = outfit.gloves
    if outfit.backpack is not None:
        strap = top & (np.abs(np.abs(canon[:, 0]) - 0.105) < 0.022) & (canon[:, 2] > 0.18)
        albedo[strap] = outfit.backpack * 0.8
    albedo[cloth] *= (1 + 0.06 * noise(canon[cloth], 26, 3))[:, None]
    bump[cloth] = outfit.fold_depth
    gloss[cloth] = 0.03
    return Paint(np.clip(albedo, 0, 1.2), bump, gloss)
