"""People who move: pose and place as functions of time, so that any frame can be made by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from annotator.synth.gait import stride_length, walk_cycle, walking_speed
from annotator.synth.limbs import Pose
from annotator.synth.person import Person, PlacedPerson, place_person
from annotator.synth.rotation import blend

TURN_SECONDS = 0.9


def blend_poses(a: Pose, b: Pose, t: float) -> Pose:
    """The pose a fraction `t` of the way from `a` to `b`; support and name are those of `a`."""
    still = np.eye(3)
    names = a.bones.keys() | b.bones.keys()
    bones = {name: blend(a.bones.get(name, still), b.bones.get(name, still), t) for name in sorted(names)}
    return replace(a, bones=bones, root=blend(a.root, b.root, t))


def _ease(t: float) -> float:
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Idle:
    """Stays on the spot and drifts from one key pose to the next, for ever."""

    person: Person
    place: tuple[float, float]
    yaw: float
    keys: tuple[Pose, ...]
    seconds: float

    def at(self, time: float) -> PlacedPerson:
        step = int(time // self.seconds)
        t = _ease(float(np.clip((time / self.seconds - step) * 1.6 - 0.3, 0, 1)))
        pose = blend_poses(self.keys[step % len(self.keys)], self.keys[(step + 1) % len(self.keys)], t)
        return place_person(self.person, pose, *self.place, self.yaw)


@dataclass(frozen=True)
class Walk:
    """Walks to and fro between two places at the speed that keeps the standing foot still.

    `begin` shifts where in the cycle time 0 is, in seconds; `upper` is the pose of everything above the hips.
    """

    person: Person
    start: tuple[float, float]
    end: tuple[float, float]
    begin: float
    amplitude: float
    upper: Pose
    cadence: float = 1.0

    @property
    def speed(self) -> float:
        """Metres a second."""
        return walking_speed(self.person.leg_length, self.amplitude) * self.cadence

    def at(self, time: float) -> PlacedPerson:
        a, b = np.array(self.start), np.array(self.end)
        length = float(np.linalg.norm(b - a))
        leg = length / self.speed + TURN_SECONDS  # one way, and the turn at its end
        trip, within = divmod(time + self.begin, leg)
        walked = min(within * self.speed, length)
        turning = _ease(float(np.clip((within - length / self.speed) / TURN_SECONDS, 0, 1)))
        back = int(trip) % 2 == 1
        origin, way = (b, a - b) if back else (a, b - a)
        spot = origin + way * (walked / length)
        yaw = float(np.degrees(np.arctan2(way[0], -way[1]))) + 180 * turning
        pose = replace(self.upper, bones=dict(self.upper.bones))
        phase = 360 * (walked + trip * length) / stride_length(self.person.leg_length, self.amplitude)
        still = self.amplitude * (1 - 0.8 * np.sin(np.pi * turning))
        walk_cycle(pose, phase, float(still))
        return place_person(self.person, pose, float(spot[0]), float(spot[1]), yaw)


Motion = Idle | Walk
