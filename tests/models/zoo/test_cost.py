"""Costs: measured without numbers, shipped for every short name, shown and filtered by the command line."""

from __future__ import annotations

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from annotator.cli.models import app
from annotator.errors import UserError
from annotator.models.openmmlab.build import build
from annotator.models.sources import resolve_pose
from annotator.models.zoo import catalogue, cost
from annotator.models.zoo.cards import Filter, cards


@pytest.mark.parametrize("name", ["rtmpose-t", "vitpose-s"])
def test_equals_what_the_real_network_does(name: str) -> None:
    """The same counter on a network with numbers, on the CPU, where it does not see fused attention."""
    entry = catalogue.find_pose(name)
    network = build(resolve_pose(name, "random")).network
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network.head(network.extract_feat(torch.zeros(1, 3, 256, 192)))  # type: ignore[operator]
    measured = cost.measure(entry.config, "pose")
    assert measured == cost.known(entry)
    assert measured.macs == counter.get_total_flops() // 2
    assert measured.params == sum(parameter.numel() for parameter in network.parameters())
    # 12 blocks of 6 heads on 192 tokens of 64: each token meets each, twice.
    assert measured.attention_macs == (12 * 6 * 192 * 192 * 64 * 2 if name == "vitpose-s" else 0)


def test_activations_are_those_that_live_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = torch.nn.Sequential(*(torch.nn.Conv2d(3, 3, 1) for _ in range(5))).to("meta")
    live = cost._live_bytes(layers)
    with torch.no_grad(), live:
        layers(torch.zeros(1, 3, 8, 8, device="meta"))
    assert live.peak == 2 * 3 * 8 * 8 * 4 + 3 * 8 * 8 * 4  # input, and the output before and after a layer


def test_every_short_name_has_figures() -> None:
    for entry in (*catalogue.pose_models().values(), *catalogue.detectors().values()):
        if entry.short_names:
            found = cost.known(entry)
            assert found and found.macs and found.activations and found.params, entry.name
            assert entry.input_size in (None, found.input_size), entry.name


def test_filters() -> None:
    chosen = {card.shortest_name for card in cards() if Filter(short=True, task="body", max_gmacs=0.5)(card)}
    assert chosen == {"rtmpose-t", "litehrnet-18", "litehrnet-30"}
    names = {card.shortest_name for card in cards() if Filter("hrnet-w48", short=True, min_ap=0.772)(card)}
    assert names == {"hrnet-w48-udp", "hrnet-w48-dark"}
    assert all("CrowdPose" in c.entry.training_data for c in cards() if Filter(data="crowdpose")(c))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"paradigm": "topdown"}, "bottom-up, one-stage, top-down coordinate, top-down heatmap"),
        ({"min_ap": 75}, "--min-ap 75: AP is between 0 and 1"),
        ({"min_ap": float("nan")}, "AP is between 0 and 1"),
    ],
)
def test_filters_that_nothing_can_pass_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Filter(**wrong)
    assert all(Filter(paradigm=part) for part in ("top-down", "Heatmap", "one-stage"))


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_weights_at_hand_are_found(tmp_path) -> None:
    entry = catalogue.find_pose("rtmpose-t")
    assert entry.url
    options = ("--with-weights", "--json", "--weights-dir", str(tmp_path))
    shipped = {"demo-pose", "demo-detector"}
    assert {row["name"] for row in json.loads(run("list", *options))["models"]} == shipped
    path = tmp_path / entry.url.rpartition("/")[2]
    path.write_bytes(b"")
    [row] = [row for row in json.loads(run("list", *options))["models"] if row["name"] not in shipped]
    assert row["short_names"] == ["rtmpose-t"] and row["weights_at_hand"] == str(path)
    assert row["license"] == "Apache-2.0" and row["params_m"] == pytest.approx(3.337)


def test_what_cannot_be_run_is_marked_with_its_reason() -> None:
    name = "edpose_res50_8xb2-50e_coco-800x1333"
    reason = catalogue.find_pose(name).unsupported
    assert reason
    [row] = json.loads(run("list", "edpose", "--json"))["models"]
    assert row["unsupported"] == reason
    listing = run("list", "edpose")
    assert "to fetch" not in listing and f"unsupported: {reason}" in listing
    assert reason in run("show", name)
    [row] = json.loads(run("list", "rtmpose-t", "--short", "--json"))["models"]
    assert row["unsupported"] is None


def test_the_licence_is_said_for_each_model() -> None:
    assert "license:           Apache-2.0" in run("show", "rtmpose-t")


def test_what_ships_need_not_be_pulled() -> None:
    assert "ships with the package" in run("pull", "demo-pose")


def test_the_table_fits_a_terminal() -> None:
    lines = run("list").splitlines()
    assert max(map(len, lines)) <= 120
    titles = [line for line in lines if "backbone" in line]
    assert len(titles) == len({line[:40] for line in titles})
    ordered = run("list", "--short", "--sort", "gmacs").splitlines()
    figures = [
        float(line.split()[-4]) for line in ordered if line.endswith(("to fetch", "here")) and "COCO " in line
    ]
    assert figures == sorted(figures) and len(figures) > 20
