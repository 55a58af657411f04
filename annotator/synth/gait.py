"""Walking and running as a function of phase, with the speed that keeps the standing foot on its spot."""

from __future__ import annotations

import numpy as np

from annotator.synth.limbs import Pose, arm, leg

HIP_SWING = 23.0  # degrees a walking thigh goes forward and back at amplitude 1
CADENCE = 1.0 / 1.12  # full cycles (two steps) a second at a comfortable walk


def walk_cycle(pose: Pose, phase: float, amplitude: float = 1.0, running: float = 0.0) -> None:
    """Set legs and arms for `phase` in degrees: at 90 the left leg is foremost, at 270 the right one.

    `running` from 0 (walk) to 1 (sprint) lengthens the stride and bends knees and elbows.
    """
    reach = (HIP_SWING + 20 * running) * amplitude
    for side, shift in (("L", 0.0), ("R", 180.0)):
        angle = np.radians(phase + shift)
        # Nearly a triangle: under a body that moves evenly, the standing foot must go back evenly.
        forward, speed = np.arcsin(0.93 * np.sin(angle)) / np.arcsin(0.93), np.cos(angle)
        # The knee bends while the thigh swings forward (speed > 0) and most just after toe-off.
        lift = max(0.0, np.sin(angle + np.radians(68))) ** 2 if speed > -0.35 else 0.0
        knee = 6 + 14 * running + (46 + 42 * running) * lift * amplitude
        toe = 16 * max(0.0, -forward) * (1 - lift)
        leg(pose, side, reach * forward + 3 + 8 * running, -3.5, knee, 5, toe - 6 * max(0.0, forward))
        back = -forward * (20 + 18 * running) * amplitude
        raise_, out = float(np.hypot(12, back)), float(np.degrees(np.arctan2(back, 12)))
        arm(pose, side, raise_, out, 20 + 62 * running - 8 * forward, -10)


def stride_length(leg_length: float, amplitude: float = 1.0) -> float:
    """Metres a walker moves in one full cycle (360 degrees of phase) without a sliding foot.

    The standing foot travels from reach to -reach under the hip twice a cycle.
    """
    return float(4 * leg_length * np.sin(np.radians(HIP_SWING * amplitude)))


def walking_speed(leg_length: float, amplitude: float = 1.0) -> float:
    """Metres a second; shorter legs step quicker (a pendulum's period goes with the root of its length)."""
    return stride_length(leg_length, amplitude) * CADENCE * float(np.sqrt(0.86 / leg_length))
