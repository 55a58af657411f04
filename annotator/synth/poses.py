"""The pose library: what people are seen doing, as distributions over anatomical angles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from annotator.synth.gait import walk_cycle
from annotator.synth.limbs import SIDES, Pose, arm, fingers, head, leg, level_feet, trunk
from annotator.synth.rotation import about_x, about_y, about_z

Rng = np.random.Generator


def relaxed(rng: Rng, name: str, support: str = "feet") -> Pose:
    """Standing at ease: the start of most other poses."""
    u = rng.uniform
    pose = Pose(name, support=support)
    trunk(pose, u(-4, 12), rng.normal(0, 5), rng.normal(0, 8))
    head(pose, rng.normal(5, 11), rng.normal(0, 22), rng.normal(0, 6))
    for side in SIDES:
        leg(pose, side, u(-4, 8), rng.normal(-2.5, 3), u(1, 12), u(-3, 20))
        wrist = (u(-15, 25), u(-15, 15))
        arm(pose, side, u(6, 28), u(-30, 70), u(8, 45), u(-30, 20), u(-40, 40), wrist)
        fingers(pose, side, u(5, 50), u(0, 5))
    return pose


def gesture(rng: Rng, pose: Pose) -> Pose:
    """Occupy the arms: waving, phoning, hands at the hips, crossed, carrying, pointing, cheering."""
    u = rng.uniform
    kind = rng.choice(
        ["wave", "phone", "hips", "crossed", "read", "carry", "point", "cheer", "behind", "face"]
    )
    sides = [str(rng.choice(SIDES))]
    if kind == "wave":
        for side in SIDES if rng.random() < 0.25 else sides:
            arm(
                pose,
                side,
                u(70, 160),
                u(-15, 50),
                u(10, 110),
                u(40, 110),
                u(-40, 40),
                (u(-20, 20), u(-20, 20)),
            )
            fingers(pose, side, u(0, 15), u(0, 8))
    elif kind == "phone":
        arm(pose, sides[0], u(20, 50), u(20, 70), u(125, 145), u(-20, 30), u(-20, 60))
        head(pose, u(0, 15), rng.normal(0, 20), u(-15, 15))
    elif kind == "hips":
        for side in SIDES if rng.random() < 0.7 else sides:
            arm(pose, side, u(36, 52), u(-35, -10), u(80, 105), u(-75, -50))
    elif kind == "crossed":
        for side in SIDES:
            arm(pose, side, u(22, 38), u(55, 80), u(92, 112), u(-75, -55))
    elif kind == "read":
        for side in SIDES:
            arm(pose, side, u(12, 35), u(45, 85), u(85, 130), u(-45, -5), u(-30, 40))
        head(pose, u(15, 35), rng.normal(0, 12), rng.normal(0, 5))
    elif kind == "carry":
        for side in SIDES:
            arm(pose, side, u(5, 25), u(40, 90), u(65, 100), u(-25, 10), u(-60, 20))
    elif kind == "point":
        arm(pose, sides[0], u(65, 110), u(-10, 95), u(0, 25), u(-20, 60), u(-60, 60))
    elif kind == "cheer":
        for side in SIDES:
            arm(pose, side, u(120, 170), u(-10, 40), u(0, 70), u(0, 90), u(-40, 40))
    elif kind == "behind":
        for side in SIDES:
            arm(pose, side, u(15, 30), u(-70, -40), u(25, 60), u(-60, -30))
    else:
        arm(pose, sides[0], u(25, 60), u(50, 85), u(120, 148), u(-45, 10), u(-30, 40))
    return pose


def stand(rng: Rng) -> Pose:
    pose = relaxed(rng, "stand")
    if rng.random() < 0.45:  # weight on one leg
        free = str(rng.choice(SIDES))
        leg(pose, free, rng.uniform(5, 30), rng.uniform(-3, 12), rng.uniform(15, 45), rng.uniform(5, 30))
        pose.root = about_y(rng.normal(0, 3))
    return gesture(rng, pose) if rng.random() < 0.55 else pose


def walk(rng: Rng) -> Pose:
    pose = relaxed(rng, "walk", "ground")
    walk_cycle(pose, rng.uniform(0, 360), amplitude=rng.uniform(0.7, 1.25))
    pose.root = about_x(rng.uniform(0, 6))
    if rng.random() < 0.2:
        gesture(rng, pose)
    return pose


def run(rng: Rng) -> Pose:
    pose = relaxed(rng, "run", "air")
    walk_cycle(pose, rng.uniform(0, 360), amplitude=rng.uniform(0.8, 1.2), running=rng.uniform(0.5, 1))
    pose.root = about_x(rng.uniform(5, 18))
    return pose


def sit(rng: Rng) -> Pose:
    u = rng.uniform
    pose = relaxed(rng, "sit", "seat")
    lean = u(-15, 20)
    pose.root = about_x(lean)
    trunk(pose, u(0, 28), rng.normal(0, 6), rng.normal(0, 12))
    head(pose, rng.normal(8 - lean / 2, 13), rng.normal(0, 25), rng.normal(0, 7))
    crossed = str(rng.choice(SIDES)) if rng.random() < 0.2 else None
    for side in SIDES:
        leg(pose, side, u(78, 98) + lean, u(2, 20), u(60, 100), u(-8, 12))
        arm(pose, side, u(15, 45), u(40, 85), u(30, 100), u(-35, 20), u(-40, 40))
    if crossed:
        leg(pose, crossed, u(98, 108) + lean, u(-14, -6), u(75, 100), u(-5, 15))
    if rng.random() < 0.3:
        gesture(rng, pose)
    return pose


def sit_on_ground(rng: Rng) -> Pose:
    u = rng.uniform
    pose = relaxed(rng, "sit_on_ground", "ground")
    lean = u(-30, 10)
    pose.root = about_x(lean)
    trunk(pose, u(0, 30), rng.normal(0, 5), rng.normal(0, 10))
    head(pose, rng.normal(-lean / 2, 12), rng.normal(0, 25), rng.normal(0, 6))
    style = rng.choice(["tailor", "long", "knees_up", "side"])
    for side in SIDES:
        if style == "tailor":
            leg(pose, side, u(88, 102) + lean, u(32, 48), u(115, 138), u(35, 55), 0)
        elif style == "long":
            leg(pose, side, u(82, 92) + lean, u(2, 18), u(0, 20), u(0, 20), u(0, 25))
        elif style == "knees_up":
            leg(pose, side, u(112, 130) + lean, u(3, 18), u(90, 120), u(-5, 10), -10)
        else:
            leg(pose, side, u(80, 95) + lean, u(10, 35), u(80, 125), u(-30, 40), 10)
        if lean < -12:
            arm(pose, side, u(25, 45), u(-85, -50), u(0, 20))
        else:
            arm(pose, side, u(15, 45), u(45, 85), u(25, 95), u(-30, 15), u(-40, 40))
    return pose


def kneel(rng: Rng) -> Pose:
    u = rng.uniform
    pose = relaxed(rng, "kneel", "ground")
    trunk(pose, u(0, 35), rng.normal(0, 6), rng.normal(0, 10))
    low = u(0, 1)
    for side in SIDES:
        leg(pose, side, u(0, 15) + 60 * low, u(2, 14), u(88, 100) + 50 * low, u(-5, 10), 35)
    if rng.random() < 0.5:
        front = str(rng.choice(SIDES))
        leg(pose, front, u(80, 95), u(2, 14), u(80, 100), 5, 0)
        other = "R" if front == "L" else "L"
        leg(pose, other, u(-10, 10), u(2, 10), u(85, 100), 5, 35)
    for side in SIDES:
        arm(pose, side, u(15, 60), u(40, 85), u(20, 100), u(-30, 20), u(-40, 40))
    return pose


def squat(rng: Rng) -> Pose:
    u = rng.uniform
    pose = relaxed(rng, "squat")
    depth = u(45, 125)
    lean = depth * u(0.15, 0.4)
    pose.root = about_x(lean)
    trunk(pose, u(5, 35), rng.normal(0, 5), rng.normal(0, 8))
    head(pose, -lean * 0.6 + rng.normal(0, 12), rng.normal(0, 22), rng.normal(0, 6))
    for side in SIDES:
        leg(pose, side, depth + lean * 0.6 + u(-6, 6), u(6, 28), depth * 1.1 + u(-6, 6), u(0, 20))
        arm(pose, side, u(25, 90), u(45, 90), u(10, 100), u(-30, 30), u(-40, 40))
    level_feet(pose)
    return pose


def bend(rng: Rng) -> Pose:
    """Stooping from the hips with the feet flat: picking up, tying shoes, gardening."""
    u = rng.uniform
    pose = relaxed(rng, "bend")
    fold = u(25, 80)
    knee = u(5, 50)
    pose.root = about_x(fold)
    trunk(pose, u(10, 45), rng.normal(0, 6), rng.normal(0, 14))
    head(pose, rng.normal(-fold * 0.3, 15), rng.normal(0, 20), rng.normal(0, 6))
    split = u(0, 18) if rng.random() < 0.5 else 0
    for side, s in (("L", 1), ("R", -1)):
        leg(pose, side, fold + knee * 0.35 + s * split, u(2, 14), knee + u(-4, 8), u(0, 15))
        arm(pose, side, fold * u(0.7, 1.3), u(65, 95), u(0, 50), u(-20, 20), u(-40, 40))
    if rng.random() < 0.3:
        arm(pose, str(rng.choice(SIDES)), u(30, 50), u(20, 60), u(60, 110), u(-50, 0))
    level_feet(pose)
    return pose


def lie(rng: Rng) -> Pose:
    """On the back, the belly or a side, with limbs that follow the ground."""
    u = rng.uniform
    pose = relaxed(rng, "lie", "ground")
    style = rng.choice(["back", "belly", "side"], p=[0.45, 0.25, 0.3])
    trunk(pose, u(-4, 8), rng.normal(0, 8), rng.normal(0, 6))
    for side in SIDES:
        leg(pose, side, u(-2, 6), u(2, 18), u(0, 8), u(0, 35), 30)
        arm(pose, side, u(10, 150), u(-8, 12), u(0, 80), u(-20, 90), u(-40, 40))
    if style == "back":
        pose.root = about_x(-90 + u(0, 6))
        head(pose, u(0, 35), rng.normal(0, 25), 0)
        for side in SIDES:
            if rng.random() < 0.4:  # sole on the ground, knee up
                lift = u(25, 60)
                leg(pose, side, lift, u(2, 12), lift * 2, u(-5, 10), 20)
        if rng.random() < 0.4:
            for side in SIDES:
                arm(pose, side, u(20, 50), u(60, 90), u(50, 120), u(-50, 0))
    elif style == "belly":
        prop = rng.random() < 0.5
        pose.root = about_x(90 - (u(4, 14) if prop else 0))
        trunk(pose, -u(25, 45) if prop else u(-6, 4), 0, rng.normal(0, 5))
        head(pose, -u(15, 40) if prop else 0, rng.normal(0, 15) if prop else float(rng.choice([-65, 65])), 0)
        for side in SIDES:
            if prop:
                arm(pose, side, u(55, 85), u(75, 95), u(80, 110), u(-20, 10))
            if rng.random() < 0.3:
                leg(pose, side, 0, u(2, 12), u(60, 110), 0, 20)
    else:
        pose.root = about_z(u(-25, 25)) @ about_y(float(rng.choice([-90, 90]))) @ about_z(rng.normal(0, 10))
        curl = u(5, 70)
        trunk(pose, curl * 0.5, 0, 0)
        for side in SIDES:
            leg(pose, side, curl + u(-10, 25), u(-3, 4), curl * 1.3 + u(-5, 25), 0, 20)
            arm(pose, side, u(40, 90), u(70, 90), u(20, 110), u(-30, 20))
        head(pose, u(-5, 25), rng.normal(0, 12), u(-12, 12))
    return pose


def crawl(rng: Rng) -> Pose:
    """On hands and knees, or in a plank."""
    u = rng.uniform
    pose = relaxed(rng, "crawl", "ground")
    plank = rng.random() < 0.35
    pose.root = about_x(u(66, 76) if plank else u(78, 95))
    trunk(pose, u(-6, 10), rng.normal(0, 4), rng.normal(0, 6))
    head(pose, -u(10, 50), rng.normal(0, 15), 0)
    for side in SIDES:
        if plank:
            leg(pose, side, u(-4, 6), u(2, 8), u(0, 6), 0, -30)
        else:
            leg(pose, side, u(75, 105), u(2, 12), u(80, 100), 0, 35)
        arm(pose, side, u(72, 92), u(82, 95), u(0, 14), u(-20, 20), 60, (-50, 0))
        fingers(pose, side, 5)
    return pose


def swing(rng: Rng) -> Pose:
    """Racket, bat, club, throw: feet apart, trunk twisted, arms away from the body."""
    u = rng.uniform
    pose = relaxed(rng, "swing")
    twist = rng.normal(0, 28)
    lean = u(0, 30)
    pose.root = about_x(lean) @ about_y(rng.normal(0, 7))
    trunk(pose, u(0, 25), rng.normal(0, 12), twist)
    head(pose, -lean * 0.6, -twist * 0.6 + rng.normal(0, 12), rng.normal(0, 8))
    for side, s in (("L", 1), ("R", -1)):
        step = s * rng.normal(0, 22)
        leg(pose, side, lean + 12 + step, u(8, 32), u(10, 60), u(0, 30))
        arm(pose, side, u(35, 140), u(-35, 90), u(5, 100), u(-40, 80), u(-60, 60), (u(-30, 30), u(-20, 20)))
        fingers(pose, side, u(40, 80))
    if rng.random() < 0.4:  # both hands on one handle
        up, out, flex = u(40, 110), u(60, 85), u(15, 70)
        for side in SIDES:
            arm(pose, side, up + u(-8, 8), out, flex, u(-40, 10))
    level_feet(pose)
    return pose


def ride(rng: Rng) -> Pose:
    """Surf, skate, snowboard, ski: knees bent, arms out for balance."""
    u = rng.uniform
    pose = relaxed(rng, "ride")
    depth = u(25, 75)
    lean = depth * u(0.2, 0.6)
    pose.root = about_x(lean) @ about_y(rng.normal(0, 12))
    trunk(pose, u(0, 30), rng.normal(0, 10), rng.normal(0, 20))
    head(pose, -lean * 0.7 + rng.normal(0, 8), rng.normal(0, 35), rng.normal(0, 6))
    wide = u(4, 30)
    skiing = rng.random() < 0.4
    for side in SIDES:
        leg(pose, side, depth + lean * 0.5, wide, depth * 1.05, u(0, 20))
        if skiing:
            arm(pose, side, u(25, 55), u(35, 75), u(50, 100), u(-30, 10))
        else:
            arm(pose, side, u(30, 105), u(-30, 55), u(5, 70), u(-40, 40), u(-40, 40))
    level_feet(pose)
    return pose


def leap(rng: Rng) -> Pose:
    """Jumps, kicks, dance: any limb anywhere, off the ground or on one foot."""
    u = rng.uniform
    pose = relaxed(rng, "leap", "air")
    trunk(pose, u(-18, 35), rng.normal(0, 13), rng.normal(0, 20))
    head(pose, rng.normal(-5, 15), rng.normal(0, 28), rng.normal(0, 8))
    pose.root = about_x(u(-15, 25)) @ about_y(rng.normal(0, 10))
    for side in SIDES:
        leg(pose, side, u(-28, 85), u(0, 38), u(5, 105), u(-10, 30), u(-10, 35))
        arm(pose, side, u(20, 165), u(-30, 90), u(5, 120), u(-60, 90), u(-60, 60), (u(-30, 30), u(-20, 20)))
    return pose


LIBRARY: dict[str, tuple[float, Callable[[Rng], Pose]]] = {
    "stand": (0.32, stand),
    "walk": (0.14, walk),
    "run": (0.05, run),
    "sit": (0.14, sit),
    "sit_on_ground": (0.04, sit_on_ground),
    "kneel": (0.03, kneel),
    "squat": (0.04, squat),
    "bend": (0.05, bend),
    "lie": (0.03, lie),
    "crawl": (0.015, crawl),
    "swing": (0.07, swing),
    "ride": (0.045, ride),
    "leap": (0.03, leap),
}


def sample_pose(rng: Rng, name: str | None = None) -> Pose:
    """A pose from the library, by name or by how common it is in photographs."""
    if name is None:
        weights = np.array([weight for weight, _ in LIBRARY.values()])
        name = str(rng.choice(list(LIBRARY), p=weights / weights.sum()))
    return LIBRARY[name][1](rng)
