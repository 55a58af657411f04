"""What a person looks like: skin, hair, clothes and shoes, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotator.synth.body import Shape
from annotator.synth.pattern import Pattern, cloth_color, random_pattern

_SKIN = (
    np.array(
        [[255, 224, 196], [241, 194, 160], [229, 180, 143], [208, 152, 112],
         [180, 120, 82], [141, 85, 54], [105, 62, 40], [75, 45, 32]], np.float32)
    / 255
)  # fmt: skip
_HAIR = (
    np.array(
        [[20, 16, 14], [30, 22, 18], [45, 31, 22], [60, 40, 25], [95, 62, 35],
         [150, 110, 60], [205, 170, 110], [130, 60, 30], [150, 150, 150], [215, 215, 210]], np.float32)
    / 255
)  # fmt: skip
_GREY = 2  # the last colours, for the old


@dataclass(frozen=True)
class Hair:
    """`style`: bald, buzz, short, quiff, curly, afro, bob, long, ponytail, bun."""

    style: str
    color: np.ndarray
    thickness: float
    fringe: float
    length: float


@dataclass(frozen=True)
class Outfit:
    """Lengths along limbs: arm 0 shoulder, 1 elbow, 2 wrist; leg 0 hip, 1 knee, 2 ankle. Heights in metres
    of the mean body (pelvis at 0, neck at 0.51); looseness is the distance of the cloth from the skin.
    """

    skin: np.ndarray
    hair: Hair
    top: Pattern
    bottom: Pattern
    inner: Pattern
    sleeve: float
    hem: float
    neckline: float
    v_neck: float
    open_front: float
    top_loose: float
    drape: float  # metres that the top hangs free below the waist; 0 when tucked in
    trouser: float
    bottom_loose: float
    flare: float
    skirt: float  # 0 none, else as trouser
    shoe: np.ndarray
    sole: np.ndarray
    shoe_height: float
    barefoot: bool
    sock: np.ndarray
    sock_height: float
    hat: np.ndarray | None
    hat_kind: str
    glasses: np.ndarray | None
    mask: np.ndarray | None
    beard: bool
    gloves: np.ndarray | None
    backpack: np.ndarray | None
    fold_depth: float
    seed: float


def _sample_hair(rng: np.random.Generator, shape: Shape) -> Hair:
    u = rng.uniform
    old = shape.age > 55 and rng.random() < 0.75
    color = _HAIR[rng.integers(len(_HAIR) - _GREY, len(_HAIR)) if old else rng.integers(len(_HAIR) - _GREY)]
    if rng.random() < 0.03:
        color = cloth_color(rng)
    if shape.female:
        styles, rates = (
            ("short", "curly", "afro", "bob", "long", "ponytail", "bun"),
            (0.1, 0.08, 0.05, 0.2, 0.27, 0.18, 0.12),
        )
    else:
        styles, rates = (
            ("bald", "buzz", "short", "quiff", "curly", "afro", "long", "bun"),
            (0.1, 0.18, 0.34, 0.14, 0.12, 0.05, 0.05, 0.02),
        )
    style = str(rng.choice(styles, p=rates))
    thickness = {
        "bald": 0.0, "buzz": 0.004, "short": u(0.01, 0.02), "quiff": u(0.012, 0.022), "curly": u(0.02, 0.035),
        "afro": u(0.045, 0.085), "bob": u(0.014, 0.026), "long": u(0.012, 0.024), "ponytail": u(0.007, 0.014),
        "bun": u(0.007, 0.014),
    }[style]  # fmt: skip
    length = u(0.10, 0.18) if style == "bob" else u(0.2, 0.48)
    return Hair(style, (color * u(0.8, 1.2)).astype(np.float32), thickness, u(-0.012, 0.02), length)


def sample_outfit(rng: np.random.Generator, shape: Shape) -> Outfit:
    """Clothes that fit the sex and age only loosely, as in the street."""
    u = rng.uniform
    i, t = rng.integers(len(_SKIN) - 1), rng.random()
    skin = _SKIN[i] * (1 - t) + _SKIN[i + 1] * t
    skin = (skin * 0.85 + skin.mean() * 0.15) * u(0.95, 1.12)
    top, bottom = random_pattern(rng), random_pattern(rng, solid=0.75)
    skirt = u(0.4, 1.7) if shape.female and rng.random() < 0.27 else 0.0
    suit = rng.random() < 0.12 or (skirt and rng.random() < 0.55)
    swim = not skirt and rng.random() < 0.03
    coat = not swim and rng.random() < 0.14
    trouser = float(rng.choice([u(0.25, 0.95), u(1.1, 1.6), u(1.85, 2.05)], p=[0.25, 0.07, 0.68]))
    sleeve = float(rng.choice([0.02, u(0.25, 0.7), u(1.0, 1.6), u(1.85, 2.02)], p=[0.09, 0.4, 0.08, 0.43]))
    if coat:
        sleeve = u(1.88, 2.02)
    if swim:
        trouser, sleeve = u(0.05, 0.5), 0.0
    shoe_height = u(1.8, 1.97) if rng.random() < 0.8 else u(1.25, 1.6)
    hatted = rng.random() < 0.16
    return Outfit(
        skin=skin.astype(np.float32),
        hair=_sample_hair(rng, shape),
        top=top,
        bottom=top if suit else bottom,
        inner=random_pattern(rng, solid=0.7),
        sleeve=sleeve,
        hem=1.0 if swim and not shape.female else u(-0.06, 0.06),
        neckline=u(0.455, 0.54),
        v_neck=u(0.2, 0.9) if rng.random() < 0.3 else 0.0,
        open_front=u(0.02, 0.09) if coat and rng.random() < 0.6 else 0.0,
        top_loose=u(0.015, 0.035) if coat else u(0.004, 0.018),
        drape=0.0 if swim else u(0.25, 0.6) if coat and rng.random() < 0.5 else u(0.04, 0.2) * (u() < 0.6),
        trouser=trouser if not skirt else (0.2 if rng.random() < 0.6 else 1.99),
        bottom_loose=u(0.003, 0.006) if skirt or rng.random() < 0.25 else u(0.006, 0.024),
        flare=u(0, 0.022),
        skirt=skirt,
        shoe=cloth_color(rng),
        sole=np.full(3, u(0.08, 0.95), np.float32),
        shoe_height=shoe_height,
        barefoot=bool(swim or rng.random() < 0.04),
        sock=cloth_color(rng),
        sock_height=shoe_height - u(0, 0.2),
        hat=cloth_color(rng) if hatted else None,
        hat_kind=str(rng.choice(["cap", "brim", "beanie", "helmet"])),
        glasses=np.full(3, u(0, 0.25), np.float32) if rng.random() < 0.16 else None,
        mask=cloth_color(rng) if rng.random() < 0.03 else None,
        beard=not shape.female and shape.age > 20 and rng.random() < 0.3,
        gloves=cloth_color(rng) if rng.random() < 0.04 else None,
        backpack=cloth_color(rng) if rng.random() < 0.09 else None,
        fold_depth=u(0.2, 0.55),
        seed=u(0, 97),
    )
