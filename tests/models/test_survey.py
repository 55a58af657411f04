"""Every row of the survey's table builds, with its parameters and multiply-accumulates.

Networks are built without storage (torch's meta device), so that the largest takes no memory and no time.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from annotator.models.build import build_network
from annotator.models.catalogue import find_pose
from annotator.models.configs import find_transform, load_model_config
from annotator.models.configs import test_pipeline as pipeline_of


@dataclass(frozen=True)
class Row:
    """One model: parameters (millions) and multiply-accumulates (10^9) of one crop, None where not measured.

    Attributes:
        name: of the catalogue.
        fused: multiply-accumulates on top of them: those of the fused attention, which the counter does not
            see on a CPU, where the table was measured, but sees without storage.
    """

    name: str
    params: float | None
    gmacs: float | None = None
    fused: float = 0.0


SURVEY = [
    Row("vitpose-h", 637.21, 122.81, fused=3.02),
    Row("vitpose-l", 308.54, 59.76, fused=1.81),
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
]


class _NumbersStayReal(torch.overrides.TorchFunctionMode):
    """Building reads schedules such as `linspace(0, rate, depth)` as numbers: those need storage."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)


def without_storage(name: str):
    """The network and config of a catalogue name, on the meta device."""
    entry = find_pose(name)
    config = load_model_config(entry.config, "pose")
    with torch.device("meta"), _NumbersStayReal():
        network = build_network(config, "pose", str(entry.config))
    return network.to("meta").eval(), config


@pytest.mark.parametrize("row", SURVEY, ids=lambda row: row.name)
def test_row(row):
    network, config = without_storage(row.name)
    parameters = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    if row.params is not None:
        assert parameters == pytest.approx(row.params, rel=0.005)
    if row.gmacs is not None:
        warp = find_transform(pipeline_of(config), "TopdownAffine")
        width, height = warp["input_size"]
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network.head(network.extract_feat(torch.zeros(1, 3, height, width, device="meta")))
        assert counter.get_total_flops() / 2e9 == pytest.approx(row.gmacs + row.fused, rel=0.01, abs=0.005)


def test_dekr_has_deformable_convolutions():
    network, _ = without_storage("dekr-w48")
    kinds = {type(module).__name__ for module in network.head.modules()}
    assert "DeformConv2d" in kinds or "DeformConv2dPack" in kinds, kinds
