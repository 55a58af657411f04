"""A person in the world: shape, outfit and pose put in a place, as meshes and true joints."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from annotator.synth.body import FOOT, TORSO, Shape, body_model
from annotator.synth.dress import dress
from annotator.synth.garments import Garment, garments
from annotator.synth.limbs import Pose, level_feet
from annotator.synth.outfit import Outfit, sample_outfit
from annotator.synth.poses import sample_pose
from annotator.synth.rotation import about_x, about_y, about_z


@dataclass(frozen=True)
class Person:
    """Who someone is, whatever they do: made once, posed in every frame.

    Attributes:
        identity: stays the same over the frames of a film.
        rest: (V, 3) float32, the dressed body in rest pose.
    """

    identity: int
    shape: Shape
    outfit: Outfit
    rest: np.ndarray
    garments: tuple[Garment, ...]

    @property
    def leg_length(self) -> float:
        joints, bone = self.shape.joints, body_model().bone
        return float(joints[bone["upperleg01.L"], 2] - self.shape.vertices[:, 2].min())


@dataclass(frozen=True)
class PlacedPerson:
    """A posed person in world coordinates (metres).

    Attributes:
        vertices: (V, 3) dressed body. naked: (V, 3) the skin under it.
        keypoints: (17, 3) COCO joints of the naked body.
        hanging: (V', 3) vertices of each garment of the person, in order.
        seat: height of the lowest point of the trunk, where a chair belongs.
    """

    person: Person
    pose: Pose
    vertices: np.ndarray
    naked: np.ndarray
    keypoints: np.ndarray
    hanging: tuple[np.ndarray, ...]
    seat: float
    place: tuple[float, float]
    yaw: float


def sample_person(rng: np.random.Generator, identity: int = 0) -> Person:
    """A new individual in new clothes."""
    shape = body_model().shape(rng)
    outfit = sample_outfit(rng, shape)
    rest = dress(shape, outfit)
    return Person(identity, shape, outfit, rest, tuple(garments(shape, outfit, rest)))


def _balanced(pose: Pose, shape: Shape) -> Pose:
    """The pose turned so that its centre of mass is above its feet (a person who does not fall)."""
    body = body_model()
    pose = replace(pose, bones=dict(pose.bones))
    for _ in range(3):
        posed = body.skin(shape.vertices, body.bone_transforms(shape.joints, pose.bones, pose.root))
        feet = posed[np.isin(body.vertex_part, FOOT)]
        standing = feet[feet[:, 2] < feet[:, 2].min() + 0.05]
        lever = body.mass @ posed - (standing.min(0) + standing.max(0)) / 2
        sideways, forward = np.degrees(np.arctan2(lever[:2], lever[2]))
        lean = about_x(float(np.clip(forward, -25, 25))) @ about_y(float(np.clip(-sideways, -12, 12)))
        pose.root = lean @ pose.root
        level_feet(pose)
    return pose


def place_person(
    person: Person, pose: Pose, x: float, y: float, yaw: float = 0.0, height: float | None = None
) -> PlacedPerson:
    """Pose a person and set them on the ground at (x, y), turned by `yaw` degrees (0 faces the camera).

    `height` lifts the lowest point to that many metres (a jump); None puts it on the ground.
    """
    body = body_model()
    shape = person.shape
    if pose.support == "feet":
        pose = _balanced(pose, shape)
    root = pose.root
    transforms = body.bone_transforms(shape.joints, pose.bones, about_z(yaw) @ root)
    naked = body.skin(shape.vertices, transforms)
    dressed = body.skin(person.rest, transforms)
    loose = [body.skin(g.vertices, transforms, g.weights) for g in person.garments]
    lowest = min(
        [np.percentile(dressed[:, 2], 0.05)]
        + [v[:, 2].min() for g, v in zip(person.garments, loose, strict=True) if g.kind == "shoe"]
    )
    shift = np.array([x, y, (height or 0.0) - lowest], np.float32)
    hanging = tuple((v + shift).astype(np.float32) for v in loose)
    naked = (naked + shift).astype(np.float32)
    return PlacedPerson(
        person=person,
        pose=pose,
        vertices=(dressed + shift).astype(np.float32),
        naked=naked,
        keypoints=body.keypoints(naked),
        hanging=hanging,
        seat=float(naked[body.vertex_part == TORSO, 2].min()),
        place=(x, y),
        yaw=yaw,
    )


def sample_placed(
    rng: np.random.Generator, x: float, y: float, yaw: float, identity: int = 0
) -> PlacedPerson:
    """A new person in a pose from the library."""
    person = sample_person(rng, identity)
    return place_person(person, sample_pose(rng), x, y, yaw)
