"""The survey's table: every system with the parameters and multiply-accumulates that were measured for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One model of the survey.

    Attributes:
        name: of the catalogue.
        params: parameters in millions, None where not measured.
        gmacs: multiply-accumulates of one crop or image in 10^9, without torch's fused attention; None where
            not measured.
        attention: multiply-accumulates in 10^9 of that attention, on top of `gmacs`.
    """

    name: str
    params: float | None
    gmacs: float | None = None
    attention: float = 0.0


SURVEY = (
    Row("vitpose-h", 637.21, 122.81, attention=3.02),
    Row("vitpose-l", 308.54, 59.76, attention=1.81),
    Row("hrnet-w48-udp", 63.60, 35.31),
    Row("rtmpose-l_8xb256-420e_aic-coco-384x288", 27.79, 9.31),
    Row("td-hm_swin-l-p4-w7_8xb32-210e_coco-384x288", 203.39, 88.11),
    Row("rtmpose-l_8xb256-420e_aic-coco-256x192", 27.66, 4.14),
    Row("hrnet-w32", 28.54, 7.65),
    Row("rtmpose-m", 13.59, 1.92),
    Row("res152", 68.64, 12.70),
    Row("res101", 52.99, 9.06),
    Row("res50", 34.00, 5.43),
    Row("swin-b", 93.04, 18.96),
    Row("resnext101", 52.62, 9.23),
    Row("rtmpose-s", 5.47, 0.68),
    Row("rtmpose-t", 3.34, 0.35),
    Row("litehrnet-30", 1.76, 0.39),
    Row("mobilenetv2", 9.57, 1.57),
    Row("hourglass", 94.85, 28.62),
    Row("hrformer", 43.21, 13.91),
    Row("deeppose", 23.6, 4.00),
    Row("deeppose-rle", 23.7, 4.00),
    Row("integral", 34.00, 7.24),
    Row("simcc", 36.75, 5.47),
    Row("rtmo-l", 44.69),
    Row("rtmo-s", 9.87),
    Row("dekr-w48", None),
    Row("cid-w48", 65.45),
    Row("ae-w32", 28.54),
    Row("yoloxpose-l", 61.27),
    Row("yoloxpose-s", 10.73),
)
