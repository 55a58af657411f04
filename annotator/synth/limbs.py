"""Posing one limb at a time in anatomical angles; the pose library is written in these words."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from annotator.synth.body import body_model
from annotator.synth.rotation import about, about_x, about_y, about_z, between

SIDES = ("L", "R")


@dataclass
class Pose:
    """Rotations a bone, and how the body meets the world.

    Attributes:
        name: the entry of the library.
        bones: bone name -> (3, 3) rotation.
        root: (3, 3) rotation of the whole body, before it is turned to its heading.
        support: "feet" (flat on the ground, balanced), "seat" (a chair belongs under it), "ground", "air".
    """

    name: str = "stand"
    bones: dict[str, np.ndarray] = field(default_factory=dict)
    root: np.ndarray = field(default_factory=lambda: np.eye(3))
    support: str = "feet"


def _sign(side: str) -> int:
    return 1 if side == "L" else -1


def leg(pose: Pose, side: str, flex=0.0, abduct=4.0, knee=5.0, twist=5.0, ankle: float | None = 0.0) -> None:
    """Hip flexion (thigh forward), abduction (outward), knee flexion, outward twist; degrees."""
    s = _sign(side)
    pose.bones[f"upperleg01.{side}"] = about_y(-s * abduct) @ about_x(-flex) @ about_z(s * twist)
    pose.bones[f"lowerleg01.{side}"] = about_x(knee)
    if ankle is not None:
        pose.bones[f"foot.{side}"] = about_x(ankle)


def arm(
    pose: Pose, side: str, raise_=15.0, forward=20.0, elbow=20.0, twist=0.0, forearm=0.0, wrist=(0.0, 0.0)
) -> None:
    """Upper arm `raise_` degrees from hanging, towards the side (forward=0) or the front (forward=90).

    `elbow` is its flexion, `twist` turns the upper arm about itself, `forearm` pronates, `wrist` bends.
    """
    s = _sign(side)
    joints, bone = body_model().joint_mean, body_model().bone
    shoulder, hinge_joint, hand = (joints[bone[f"{b}.{side}"]] for b in ("upperarm01", "lowerarm01", "wrist"))
    upper = (hinge_joint - shoulder) / np.linalg.norm(hinge_joint - shoulder)
    lower = (hand - hinge_joint) / np.linalg.norm(hand - hinge_joint)
    hinge = np.cross(upper, lower)
    at_rest = np.degrees(np.arccos(np.clip(upper @ lower, -1, 1)))
    up, out = np.radians(raise_), np.radians(forward)
    target = np.sin(up) * (np.cos(out) * np.array([s, 0, 0]) + np.sin(out) * np.array([0, -1, 0]))
    target = target + np.cos(up) * np.array([0, 0, -1.0])
    # The shoulder girdle takes part when the arm goes above the horizontal or across the chest.
    girdle = about_y(-s * 0.35 * max(0.0, raise_ - 60)) @ about_z(
        -s * 0.15 * float(np.clip(forward - 30, 0, 90)) * np.sin(up)
    )
    pose.bones[f"clavicle.{side}"] = girdle
    pose.bones[f"upperarm01.{side}"] = between(upper, girdle.T @ target) @ about(upper, twist * 0.5 * s)
    pose.bones[f"upperarm02.{side}"] = about(upper, twist * 0.5 * s)
    pose.bones[f"lowerarm01.{side}"] = about(hinge, elbow - at_rest)
    pose.bones[f"lowerarm02.{side}"] = about(lower, forearm * 0.5 * s)
    pose.bones[f"wrist.{side}"] = about(lower, forearm * 0.5 * s) @ about_x(wrist[0]) @ about_y(wrist[1])


def trunk(pose: Pose, bend=0.0, side=0.0, twist=0.0) -> None:
    """Spine: forward bend, sideways bend, twist to the left; spread over four vertebral bones."""
    for bone in ("spine04", "spine03", "spine02", "spine01"):
        pose.bones[bone] = about_x(bend / 4) @ about_y(side / 4) @ about_z(twist / 4)


def head(pose: Pose, nod=0.0, turn=0.0, tilt=0.0) -> None:
    """Nod (down), turn (to the left), tilt; spread over the neck."""
    for bone in ("neck01", "neck02", "head"):
        pose.bones[bone] = about_x(nod / 3) @ about_z(turn / 3) @ about_y(tilt / 3)


def fingers(pose: Pose, side: str, curl: float, spread: float = 0.0) -> None:
    """Curl all fingers by `curl` degrees a knuckle, the thumb by half of it."""
    s = _sign(side)
    joints, bone = body_model().joint_mean, body_model().bone
    across = joints[bone[f"finger5-1.{side}"]] - joints[bone[f"finger2-1.{side}"]]
    along = joints[bone[f"finger3-2.{side}"]] - joints[bone[f"finger3-1.{side}"]]
    palm = np.cross(across, along)
    for finger in (2, 3, 4, 5):
        for knuckle in (1, 2, 3):
            turn = about(across, s * curl)
            if knuckle == 1:
                turn = about(palm, spread * (finger - 3.5)) @ turn
            pose.bones[f"finger{finger}-{knuckle}.{side}"] = turn
    for knuckle in (2, 3):
        pose.bones[f"finger1-{knuckle}.{side}"] = about(across, s * curl * 0.5)


def level_feet(pose: Pose, limit: float = 40.0) -> None:
    """Turn the ankles so that the soles are parallel to the ground, as far as ankles go."""
    for side in SIDES:
        thigh = pose.bones.get(f"upperleg01.{side}", np.eye(3))
        shin = pose.root @ thigh @ pose.bones.get(f"lowerleg01.{side}", np.eye(3))
        toes = shin @ np.array([0.0, -1.0, 0.0])
        lowered = np.degrees(np.arctan2(-toes[2], np.hypot(toes[0], toes[1])))
        if shin[2, 2] < 0:  # the shin points up: nothing to stand on
            lowered = 0.0
        pose.bones[f"foot.{side}"] = about_x(float(np.clip(-lowered, -limit, limit)))
