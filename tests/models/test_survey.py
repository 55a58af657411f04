"""Every row of the survey's table builds, with its parameters and multiply-accumulates.

Networks are built without storage (torch's meta device), so that the largest takes no memory and no time.
"""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from annotator.models.openmmlab.build import build_network
from annotator.models.openmmlab.configs import find_transform, load_model_config
from annotator.models.openmmlab.configs import test_pipeline as pipeline_of
from annotator.models.zoo.catalogue import find_pose
from annotator.parity.survey import SURVEY


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
        assert counter.get_total_flops() / 2e9 == pytest.approx(
            row.gmacs + row.attention, rel=0.01, abs=0.005
        )


def test_dekr_has_deformable_convolutions():
    network, _ = without_storage("dekr-w48")
    kinds = {type(module).__name__ for module in network.head.modules()}
    assert "DeformConv2d" in kinds or "DeformConv2dPack" in kinds, kinds
