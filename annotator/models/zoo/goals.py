"""What the survey of MMPose's models recommends for which goal, and the costs that it states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Goal = Literal["accuracy", "realtime", "edge", "crowd"]

# Parameters (10^6) and "GFLOPs", as stated there.
SURVEY: Mapping[str, tuple[float | None, float]] = {
    "vitpose-h": (632.2, 125.9),
    "vitpose-l": (304.4, 60.1),
    "hrnet-w48-udp": (63.6, 35.5),
    "rtmpose-l-384": (27.8, 9.4),
    "swin-l": (205.1, 53.6),
    "rtmpose-l": (27.7, 4.2),
    "hrnet-w32": (28.5, 7.7),
    "rtmpose-m": (13.6, 1.9),
    "res152": (68.6, 12.8),
    "res101": (None, 9.11),
    "res50": (None, 5.46),
    "swin-b": (None, 28.0),
    "rtmpose-s": (5.5, 0.7),
    "litehrnet-30": (1.8, 0.4),
    "mobilenetv2": (9.6, 1.6),
    "ae-w32": (28.5, 41.1),
}


@dataclass(frozen=True)
class Plan:
    """What a goal asks for.

    Attributes:
        candidates: pose models, the first choice first, then those to fall back on.
        detector: to go with top-down models.
        flip: whether the flip test pays.
        reasons: why this choice.
    """

    candidates: tuple[str, ...]
    detector: str
    flip: bool
    reasons: tuple[str, ...]


GOALS: Mapping[Goal, Plan] = {
    "accuracy": Plan(
        candidates=("vitpose-h", "vitpose-l", "hrnet-w48-udp", "rtmpose-l-384"),
        detector="rtmdet-m",
        flip=True,
        reasons=(
            "ViTPose-H has the highest published AP on COCO of all architectures here; labels are made once "
            "and used for long, so accuracy goes before cost.",
            "The detector matters as much: from a weak one (56 box AP) to a strong one (65), HRNet-W48 "
            "gained 0.8 AP, and ground-truth boxes gain about 2. Give --boxes where you have them.",
            "The flip test doubles the cost of the pose model. It gains 0.2 to 1.4 AP, less on large models: "
            "--no-flip is the first thing to give up.",
        ),
    ),
    "realtime": Plan(
        candidates=("rtmpose-m", "rtmpose-s", "rtmpose-t"),
        detector="rtmdet-nano",
        flip=False,
        reasons=(
            "RTMPose-m has the AP of HRNet-W48 at 256x192 for an eighth of its multiply-accumulates.",
            "Without flip test: it would double the cost for a fraction of an AP.",
            "With more people an image than the break-even below, a one-stage model is cheaper, and its time "
            "does not depend on how many there are.",
        ),
    ),
    "edge": Plan(
        candidates=("rtmpose-s", "rtmpose-t", "litehrnet-30", "mobilenetv2"),
        detector="rtmdet-nano",
        flip=False,
        reasons=(
            "RTMPose-s and -t have the best AP for their multiply-accumulates. Lite-HRNet also shuffles and "
            "weighs channels, work that no such count shows.",
            "Without a GPU, ONNX Runtime was 2 to 4 times as fast as torch on two CPU cores (1.3 M parameter "
            "network, batches of 32 and of 1).",
        ),
    ),
    "crowd": Plan(
        candidates=("rtmo-l", "rtmo-m", "rtmo-s"),
        detector="rtmdet-m",
        flip=False,
        reasons=(
            "One-stage models look once at the image, however many people are in it, and need no detector "
            "whose boxes of people in front of each other suppress one another.",
            "For few but large people the top-down models stay more accurate on COCO.",
        ),
    ),
}
