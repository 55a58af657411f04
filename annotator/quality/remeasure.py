"""Signals of people whose poses were stored: measured again, but for what only the models' outputs tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from annotator.people import Poses, Signals
from annotator.quality.signals import measured
from annotator.skeletons import Skeleton

# What the flip test's halves tell, which are not stored.
_OF_HALVES = ("flip_oks", "keypoint_flip_oks", "likely_swap")


def remeasured(
    poses: Poses,
    skeleton: Skeleton,
    input_size: tuple[int, int] | None,
    *,
    nms: Literal["flag", "drop"],
    phantom_below: float,
) -> Poses:
    """The people of one image with new signals; those of the flip test are the stored ones.

    Arguments as of `signals.measured`.
    """
    stored = poses.signals
    # Carried through the choice of people as if it were a column of theirs.
    places = np.arange(len(poses))
    poses = measured(replace(poses, track=places), skeleton, input_size, nms=nms, phantom_below=phantom_below)
    assert isinstance(poses.signals, Signals)
    return poses
