"""Signals of people whose poses were stored: measured again, but for what only the models' outputs tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from annotator.people import Poses
from annotator.quality.signals import measure
from annotator.skeletons import Skeleton

# Told by the halves of the flip test, which are not stored.
_OF_HALVES = ("flip_oks", "keypoint_flip_oks", "likely_swap")


def remeasured(
    poses: Poses,
    kept: np.ndarray,
    skeleton: Skeleton,
    input_size: tuple[int, int] | None,
    *,
    nms: Literal["flag", "drop"],
    phantom_below: float,
) -> Poses:
    """Some of the people of one image with signals of their own; those of the flip test are the stored ones.

    Args:
        kept: (N,) bool, who stays.
        skeleton, input_size, nms, phantom_below: as of `signals.measured`.
    """
    stored = poses.signals
    poses = poses.of(kept)
    signals = measure(poses, skeleton, input_size, phantom_below)
    if nms == "drop" and signals.nms_suppressed.any():
        kept = kept.copy()
        kept[kept] = ~signals.nms_suppressed
        poses = poses.of(~signals.nms_suppressed)
        signals = measure(poses, skeleton, input_size, phantom_below)
    if stored is not None:
        of_halves = {name: getattr(stored, name) for name in _OF_HALVES}
        signals = replace(
            signals, **{name: values[kept] for name, values in of_halves.items() if values is not None}
        )
    return replace(poses, signals=signals)
