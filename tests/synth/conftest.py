"""A scene simple enough to know what the truth must be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from annotator.synth.background import Background
from annotator.synth.camera import Camera
from annotator.synth.light import Light
from annotator.synth.person import Person, PlacedPerson, place_person, sample_person
from annotator.synth.poses import sample_pose
from annotator.synth.scene import Prop, Scene

WIDTH, HEIGHT = 240, 320


@pytest.fixture(scope="session")
def adult() -> Person:
    rng = np.random.default_rng(11)
    while (person := sample_person(rng)).shape.age < 20:
        pass
    return person


@pytest.fixture(scope="session")
def standing(adult: Person) -> Callable[..., PlacedPerson]:
    """Somebody standing at (x, y), facing the camera."""

    def place(
        x: float = 0.0, y: float = 4.0, yaw: float = 0.0, name: str = "stand", seed: int = 3
    ) -> PlacedPerson:
        return place_person(adult, sample_pose(np.random.default_rng(3), name), x, y, yaw)

    return place


@pytest.fixture(scope="session")
def scene() -> Callable[..., Scene]:
    """People and things before a grey wall, under one lamp."""

    def build(
        people: list[PlacedPerson], things: tuple[Prop, ...] = (), camera: Camera | None = None
    ) -> Scene:
        camera = camera or Camera(WIDTH, HEIGHT, 480.0, (0.0, 0.0, 1.0))
        grey = np.full((camera.height, camera.width, 3), 0.5, np.float32)
        light = Light(
            np.array([-0.45, -0.65, 0.61], np.float32), 0.6, np.ones(3, np.float32), 0.6,
            np.ones(3, np.float32), np.full(3, 0.6, np.float32),
        )  # fmt: skip
        nothing = np.zeros((camera.height, camera.width), bool)
        return Scene(camera, light, tuple(people), things, Background(grey, nothing, "studio"))

    return build
