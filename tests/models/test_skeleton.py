"""Skeletons come from the dataset that has as many keypoints as the network, or from the checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from annotator.errors import UserError
from annotator.models.openmmlab.configs import config_sha256, load_model_config
from annotator.models.skeleton import check_skeleton, skeleton_of
from annotator.models.sources import resolve_pose
from annotator.models.zoo import catalogue
from annotator.skeletons import COCO_17

THREE = {
    "dataset_name": "three",
    "keypoint_id2name": {0: "a", 1: "b", 2: "c"},
    "skeleton_links": [(0, 1)],
    "flip_indices": [0, 1, 2],
    "sigmas": np.full(3, 0.05, np.float32),
}


def config_of(name: str):
    return load_model_config(catalogue.find_pose(name).config, "pose")


@pytest.mark.parametrize(
    ("name", "count"), [("res50", 17), ("halpe26", 26), ("wholebody", 133), ("hand", 21)]
)
def test_the_zoos_skeletons(name: str, count: int) -> None:
    skeleton = skeleton_of(config_of(name), {}, "config.py")
    assert len(skeleton) == count and skeleton.edges and max(skeleton.sigmas) < 0.2


def test_coco_is_coco() -> None:
    skeleton = skeleton_of(config_of("res50"), {}, "config.py")
    assert skeleton.keypoints == COCO_17.keypoints and skeleton.flip_indices == COCO_17.flip_indices
    assert skeleton.sigmas == COCO_17.sigmas and skeleton.name == "coco"


def test_a_model_tested_on_fewer_keypoints_than_it_gives() -> None:
    config = config_of("td-hm_hrnet-w32_8xb64-210e_coco-aic-256x192-combine")
    assert len(skeleton_of(config, {}, "config.py")) == 19


def test_the_checkpoint_is_asked_last() -> None:
    config = config_of("res50")
    config.model.head.out_channels = 3
    found = skeleton_of(config, {"dataset_meta": THREE}, "config.py")
    assert found.keypoints == ("a", "b", "c") and found.sigmas == (0.05, 0.05, 0.05)
    config.model.head.out_channels = 4
    with pytest.raises(UserError, match=r"no skeleton for the 4 keypoints.*names 17.*names 3"):
        skeleton_of(config, {"dataset_meta": THREE}, "config.py")


def test_three_maps_of_a_joint_are_one_keypoint() -> None:
    config = config_of("res50")
    config.model.head.update(out_channels=51, decoder={"type": "UDPHeatmap", "heatmap_type": "combined"})
    assert len(skeleton_of(config, {}, "config.py")) == 17


def own_config(folder: Path, metainfo: str = "dict(from_file='my_dataset.py')") -> Path:
    """A config of three keypoints."""
    path = folder / "my_pose.py"
    path.write_text(
        "model = dict(type='mmpose.TopdownPoseEstimator', head=dict(type='HeatmapHead', out_channels=3))\n"
        f"test_dataloader = dict(dataset=dict(type='CustomDataset', metainfo={metainfo}))\n"
    )
    return path


DATASET = """
dataset_info = dict(
    dataset_name='three', keypoint_info={n: dict(name=name) for n, name in enumerate('abc')},
    skeleton_info={}, joint_weights=[1, 1, 1], sigmas=[0.1, 0.1, 0.1])
"""


def test_a_file_beside_the_config_is_found_from_anywhere_and_counts_for_its_hash(
    tmp_path, monkeypatch
) -> None:
    path, folder = own_config(tmp_path), tmp_path / "elsewhere"
    (tmp_path / "my_dataset.py").write_text(DATASET)
    folder.mkdir()
    monkeypatch.chdir(folder)
    config = load_model_config(path, "pose")
    assert skeleton_of(config, {}, str(path)).sigmas == (0.1, 0.1, 0.1)
    (tmp_path / "my_dataset.py").write_text(DATASET.replace("0.1", "0.2"))
    assert config_sha256(load_model_config(path, "pose")) != config_sha256(config)
    for text, problem in {"x = 1": "defines no `dataset_info", "x = (": "not a Python config"}.items():
        (tmp_path / "my_dataset.py").write_text(text)
        with pytest.raises(UserError, match=rf"my_dataset\.py.*{problem}"):
            load_model_config(path, "pose")


@pytest.mark.parametrize(
    ("metainfo", "problem"),
    [
        ("dict(from_file='no.py')", r"FileNotFoundError.*beside the config"),
        ("dict(dataset_name='x')", r"AssertionError.*keypoint_info, skeleton_info, joint_weights and sigmas"),
    ],
)
def test_a_model_without_a_skeleton_is_refused_unless_its_checkpoint_has_one(
    tmp_path, metainfo: str, problem: str
) -> None:
    config, weights = str(own_config(tmp_path, metainfo)), str(tmp_path / "my.pth")
    with pytest.raises(UserError, match=problem):
        check_skeleton(resolve_pose(config, "random"))
    state = {"x": torch.zeros(1)}
    torch.save({"state_dict": state, "meta": {}}, weights)
    with pytest.raises(UserError, match=problem):
        check_skeleton(resolve_pose(config, weights))
    torch.save({"state_dict": state, "meta": {"dataset_meta": THREE}}, weights)
    check_skeleton(resolve_pose(config, weights))
