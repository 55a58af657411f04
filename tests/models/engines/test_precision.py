"""In bf16 and fp16, the layers that give what is decoded stay in float32, whatever a head calls them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from annotator.models.engines.engine import PoseNetwork
from annotator.models.engines.precision import last_parameters, lower_precision
from annotator.models.openmmlab.build import build_network
from annotator.models.openmmlab.configs import input_size, load_model_config
from annotator.models.zoo.catalogue import find_pose
from annotator.pose.decoding import make_decoder, select

STAGE = {f"head.predict_layers.{n}.conv_layers.1.{part}" for n in range(4) for part in ("conv", "bn")}
# Every head of the catalogue's top-down models, by a model that has it: what gives its outputs.
LAST = {
    "res50": {"head.final_layer"},
    "td-hm_vipnas-mbv3_8xb64-210e_coco-256x192": {"head.final_layer"},
    "hourglass": {"head.multi_final_layers.0"},
    "td-hm_cpm_8xb64-210e_coco-256x192": {"backbone.out_convs.4.1.conv"},
    "td-hm_mspn50_8xb32-210e_coco-256x192": STAGE,
    "td-hm_rsn18_8xb32-210e_coco-256x192": STAGE,
    # The head itself has the coordinates that its heatmaps are averaged with.
    "integral": {"head", "head.simplebaseline_head.final_layer"},
    "deeppose": {"head.fc"},
    "deeppose-rle": {"head.fc"},
    "simcc": {"head.mlp_head_x", "head.mlp_head_y"},
    "rtmpose-t": {"head.cls_x", "head.cls_y"},
    "wholebody": {"head.cls_x", "head.cls_y"},
}


@pytest.mark.parametrize("name", LAST)
def test_what_is_decoded_comes_from_layers_in_float32(name: str) -> None:
    """Without storage (torch's meta device): of a pass, its graph and its dtypes are enough."""
    entry = find_pose(name)
    config = load_model_config(entry.config, "pose")
    width, height = input_size(config) or (0, 0)
    network = PoseNetwork(build_network(config, "pose", name).to("meta")).eval()
    pixels = torch.zeros(1, 3, height, width, device="meta")
    last = last_parameters(network, pixels)
    names = {key.rpartition(".")[0] for key, one in network.named_parameters() if one in last}
    assert {one.removeprefix("estimator.") for one in names} == LAST[name]
    lower_precision(network, torch.bfloat16, pixels)
    with torch.inference_mode():
        outputs = network(pixels.bfloat16())
    head = config.model["head"]
    decoded = select(outputs, make_decoder(head["decoder"], head).kind)
    assert [one.dtype for one in decoded] == [torch.float32] * len(decoded)
    dtypes = [one.dtype for one in network.parameters()]
    assert dtypes.count(torch.float32) == len(last) < dtypes.count(torch.bfloat16)


class Stages(nn.Module):
    """Two stages, each of which gives heatmaps; the second reads those of the first."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 2, 1)
        self.norm = nn.BatchNorm2d(2)
        nn.init.uniform_(self.norm.running_mean)

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        first = self.one(self.body(pixels).relu())
        return [first, self.norm(self.two(first)) * 2]


def test_they_keep_their_weights_to_the_bit_and_others_do_not() -> None:
    network, pixels = Stages().eval().requires_grad_(False), torch.randn(1, 3, 8, 8)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    lower_precision(network, torch.bfloat16, pixels)
    after = network.state_dict()
    exact = {name for name, tensor in after.items() if tensor.dtype == torch.float32}
    assert exact == {name for name in before if name.startswith(("two", "norm")) and "tracked" not in name}
    assert all(torch.equal(after[name], before[name]) for name in exact)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    first, second = network(pixels.bfloat16())
    assert (first.dtype, second.dtype) == (torch.bfloat16, torch.float32)
    assert not torch.equal(second, second.bfloat16().float())


def test_float32_leaves_all_as_it_is() -> None:
    network = Stages().eval()
    lower_precision(network, torch.float32, torch.empty(0))
    assert {one.dtype for one in network.parameters()} == {torch.float32}
