"""A scene: who is where doing what, among which things, seen by which camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from annotator.synth import props
from annotator.synth.background import Background, sample_background
from annotator.synth.camera import Camera
from annotator.synth.light import Light, sample_light
from annotator.synth.pattern import Pattern, random_pattern
from annotator.synth.person import PlacedPerson, place_person, sample_person
from annotator.synth.poses import sample_pose
from annotator.synth.rotation import about_z
from annotator.synth.vectors import f32

SMALLEST, LARGEST = 28.0, 900.0  # pixels a standing person is tall in a picture 640 wide


@dataclass(frozen=True)
class Prop:
    """A thing that hides people and casts shadows: (V, 3), (F, 3), how it is painted."""

    vertices: np.ndarray
    faces: np.ndarray
    pattern: Pattern


@dataclass(frozen=True)
class Scene:
    camera: Camera
    light: Light
    people: tuple[PlacedPerson, ...]
    props: tuple[Prop, ...]
    background: Background


def sample_scene(rng: np.random.Generator, width: int, height: int, people: int | None = None) -> Scene:
    """A random scene; `people` fixes how many (0 is allowed)."""
    style = str(rng.choice(["snapshot", "portrait", "crowd", "distant"], p=[0.5, 0.24, 0.14, 0.12]))
    if people is None:
        people = 0 if rng.random() < 0.05 else _count(rng, style)
    camera = _sample_camera(rng, width, height, style)
    placed = _sample_people(rng, camera, people, style)
    camera = _aim(rng, camera, placed, style)
    things = [p for person in placed for p in _belongings(rng, person)]
    things += sample_clutter(rng, placed)
    return Scene(camera, sample_light(rng), tuple(placed), tuple(things), sample_background(rng, camera))


def _count(rng: np.random.Generator, style: str) -> int:
    if style == "portrait":
        return int(rng.choice([1, 2, 3], p=[0.62, 0.28, 0.1]))
    if style == "crowd":
        return int(rng.choice([5, 6, 8, 10, 13], p=[0.3, 0.25, 0.2, 0.15, 0.1]))
    return int(rng.choice([1, 2, 3, 4, 5], p=[0.42, 0.27, 0.16, 0.1, 0.05]))


def _sample_camera(rng: np.random.Generator, width: int, height: int, style: str) -> Camera:
    focal = rng.uniform(0.8, 1.9) * width
    eye = float(
        rng.choice([rng.uniform(1.1, 1.8), rng.uniform(0.3, 1.1), rng.uniform(1.8, 4.5)], p=[0.6, 0.2, 0.2])
    )
    if style == "portrait":
        eye = rng.uniform(0.9, 1.9)
    roll = rng.normal(0, 2.5) if rng.random() < 0.9 else rng.normal(0, 12)
    return Camera(width, height, focal, (0.0, 0.0, eye), 0.0, roll)


def _sample_people(rng: np.random.Generator, camera: Camera, count: int, style: str) -> list[PlacedPerson]:
    unit = camera.width / 640
    low, high = {"snapshot": (110, 620), "portrait": (500, 1500), "crowd": (70, 420), "distant": (28, 130)}[
        style
    ]
    typical = np.exp(rng.uniform(np.log(low), np.log(high)))
    spread = {"snapshot": 0.3, "portrait": 0.12, "crowd": 0.4, "distant": 0.25}[style]
    middle = rng.uniform(-0.22, 0.22)
    placed: list[PlacedPerson] = []
    for identity in range(count):
        person = sample_person(rng, identity)
        tall = np.clip(
            typical * np.exp(rng.normal(0, spread)), SMALLEST, LARGEST if style != "portrait" else 1700
        )
        y = max(0.75, camera.focal * person.shape.height / (tall * unit))
        across = np.clip(middle + rng.normal(0, 0.28 if count > 1 else 0.16), -0.53, 0.53)
        x = across * camera.width * y / camera.focal
        for other in placed:  # bodies do not stand inside each other
            if abs(other.place[0] - x) < 0.42 and abs(other.place[1] - y) < 0.45:
                y += 0.55
        yaw = rng.normal(0, 45) if rng.random() < 0.64 else rng.uniform(-180, 180)
        pose = sample_pose(rng, "stand" if style == "portrait" and rng.random() < 0.35 else None)
        lifted = None
        if pose.support == "air" and rng.random() < 0.5:
            lifted = rng.uniform(0.02, 0.5)
        placed.append(place_person(person, pose, float(x), float(y), float(yaw), lifted))
    return placed


def _aim(rng: np.random.Generator, camera: Camera, people: list[PlacedPerson], style: str) -> Camera:
    """Tilt the camera so that the people (or, close up, their upper bodies) lie in the middle band."""
    if not people:
        return replace(camera, pitch=rng.normal(5, 8))
    joints = np.concatenate([p.keypoints[:11] if style == "portrait" else p.keypoints for p in people])
    spots = joints[joints[:, 1] > 0.3]
    if not len(spots):
        return camera
    target = np.median(np.degrees(np.arctan2(camera.position[2] - spots[:, 2], spots[:, 1])))
    offset = np.degrees(np.arctan(camera.height * rng.normal(0, 0.13) / camera.focal))
    return replace(camera, pitch=float(target + offset))


def _belongings(rng: np.random.Generator, placed: PlacedPerson) -> list[Prop]:
    """The chair under a sitter, the thing in a hand, the board under a rider."""
    things: list[Prop] = []
    yaw = placed.yaw
    scale = placed.person.shape.height / 1.7

    def add(mesh: props.Mesh, solid: float = 0.7) -> None:
        things.append(Prop(*mesh, random_pattern(rng, solid)))

    if placed.pose.support == "seat" and rng.random() < 0.85 and placed.seat > 0.12:
        hips = placed.keypoints[[11, 12]].mean(0)
        if rng.random() < 0.75:
            add(props.chair(hips[0], hips[1], placed.seat, yaw, rng.random() < 0.6, rng.uniform(0.44, 0.6)))
        else:
            wide = rng.uniform(0.8, 2.2)
            back = about_z(yaw) @ np.array([0, 0.03, 0])
            center = (hips[0] + back[0], hips[1] + back[1], placed.seat / 2 - 0.01)
            add(props.box(center, (wide, 0.5, max(placed.seat - 0.02, 0.1)), yaw), 0.4)
    hand = placed.keypoints[9 + rng.integers(2)]
    turn = about_z(yaw)
    if placed.pose.name == "swing" and rng.random() < 0.6:
        other = placed.keypoints[7:9].mean(0)
        direction = hand - other + rng.normal(0, 0.15, 3)
        direction /= np.linalg.norm(direction) + 1e-6
        tip = hand + direction * rng.uniform(0.5, 0.95) * scale
        parts = [props.bar(hand, tip, rng.uniform(0.012, 0.03))]
        if rng.random() < 0.5:
            parts.append(props.ellipsoid(tip, (0.12, 0.02, 0.15)))
        add(props.merged(parts))
    elif placed.pose.name == "ride" and rng.random() < 0.7:
        feet = placed.keypoints[15:].mean(0)
        size = (
            (0.28, rng.uniform(0.8, 1.8), 0.04) if rng.random() < 0.5 else (rng.uniform(0.8, 1.9), 0.3, 0.04)
        )
        low = placed.naked[:, 2].min()
        add(props.rounded_box((feet[0], feet[1], low - 0.01), size, yaw))
    elif rng.random() < 0.16:
        front = turn @ np.array([0, -0.06, -0.05])
        kind = rng.integers(4)
        if kind == 0:
            bag = np.array((0.34, 0.13, 0.34)) * scale
            add(props.rounded_box(hand - np.array([0, 0, 0.3 * scale]), bag, yaw + 90))
        elif kind == 1:
            add(props.ellipsoid(hand + front, np.full(3, rng.uniform(0.04, 0.13))))
        elif kind == 2:
            add(props.bar(hand + np.array([0, 0, 0.3]), hand - [0, 0, rng.uniform(0.2, 0.9)], 0.015))
        else:
            add(props.box(hand + front, (0.08, 0.015, 0.15), yaw))
    return things


def sample_clutter(rng: np.random.Generator, people: list[PlacedPerson]) -> list[Prop]:
    """Furniture, posts, balls, planks: some in front of people, most elsewhere."""
    things: list[Prop] = []
    for _ in range(rng.choice([0, 1, 2, 3, 5], p=[0.3, 0.24, 0.2, 0.15, 0.11])):
        elsewhere = (rng.normal(0, 1), rng.uniform(3, 8))
        near = people[rng.integers(len(people))].place if people else elsewhere
        front = rng.random() < 0.42
        y = max(0.7, near[1] * rng.uniform(0.55, 0.92)) if front else near[1] + rng.uniform(0.3, 5)
        x = near[0] * (y / near[1]) + rng.normal(0, 0.35 if front else 0.8)
        u = rng.uniform
        kind = rng.integers(7)
        if kind == 0:
            tall = u(0.3, 1.15)
            mesh = props.rounded_box((x, y, tall / 2), (u(0.2, 1.6), u(0.2, 0.7), tall), u(0, 90), u(3, 12))
        elif kind == 1:
            mesh = props.cylinder((x, y, 0), u(0.02, 0.16), u(0.7, 3.5))
        elif kind == 2:
            radius = u(0.07, 0.35)
            mesh = props.ellipsoid((x, y, u(radius, 1.5)), np.full(3, radius) * rng.uniform(0.6, 1, 3))
        elif kind == 3:
            mesh = props.table(x, y, u(0.5, 0.85), u(0.7, 1.8), u(0.5, 0.8), u(0, 60))
        elif kind == 4:
            tall = u(1, 2.4)
            mesh = props.box((x, y, tall / 2), (u(0.1, 0.6), 0.12, tall), u(0, 90))
        elif kind == 5:  # a railing
            parts = [props.bar((x - 2, y, z), (x + 2, y, z), 0.02) for z in (0.5, 0.95)]
            parts += [props.cylinder((x + k, y, 0), 0.025, 1.0) for k in (-2, -1, 0, 1, 2)]
            mesh = props.merged(parts)
        else:  # a plant
            parts = [props.cylinder((x, y, 0), u(0.1, 0.2), u(0.2, 0.4))]
            for _ in range(9):
                tip = np.array([x, y, 0.3]) + rng.normal(0, [0.28, 0.28, 0.1]) + [0, 0, u(0.3, 1.1)]
                parts.append(props.ellipsoid(tip, rng.uniform(0.05, 0.22, 3)))
            things.append(Prop(*props.merged(parts), _leaves(rng)))
            continue
        things.append(Prop(*mesh, random_pattern(rng, 0.55)))
    return things


def _leaves(rng: np.random.Generator) -> Pattern:
    green = f32([0.2, 0.36, 0.12]) * np.float32(rng.uniform(0.5, 1.5))
    return Pattern("blotches", green, green * np.float32(1.4), 30.0, 0.0, 0.5)
