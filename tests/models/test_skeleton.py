"""Skeletons come from the dataset that has as many keypoints as the network, or from the checkpoint."""

from __future__ import annotations

import numpy as np
import pytest

from annotator.errors import UserError
from annotator.models.openmmlab.configs import load_model_config
from annotator.models.skeleton import skeleton_of
from annotator.models.zoo import catalogue
from annotator.skeletons import COCO_17


def config_of(name: str):
    return load_model_config(catalogue.find_pose(name).config, "pose")


@pytest.mark.parametrize(
    ("name", "count"), [("res50", 17), ("halpe26", 26), ("wholebody", 133), ("hand", 21)]
)
def test_the_zoos_skeletons(name: str, count: int) -> None:
    skeleton = skeleton_of(config_of(name), {}, count, "config.py")
    assert len(skeleton) == count and skeleton.edges and max(skeleton.sigmas) < 0.2


def test_coco_is_coco() -> None:
    skeleton = skeleton_of(config_of("res50"), {}, 17, "config.py")
    assert skeleton.keypoints == COCO_17.keypoints and skeleton.flip_indices == COCO_17.flip_indices
    assert skeleton.sigmas == COCO_17.sigmas and skeleton.name == "coco"


def test_a_model_tested_on_fewer_keypoints_than_it_gives() -> None:
    config = config_of("td-hm_hrnet-w32_8xb64-210e_coco-aic-256x192-combine")
    assert len(skeleton_of(config, {}, 19, "config.py")) == 19


def test_the_checkpoint_is_asked_last() -> None:
    config = config_of("res50")
    described = {
        "dataset_name": "three",
        "keypoint_id2name": {0: "a", 1: "b", 2: "c"},
        "skeleton_links": [(0, 1)],
        "flip_indices": [0, 1, 2],
        "sigmas": np.full(3, 0.05, np.float32),
    }
    found = skeleton_of(config, {"dataset_meta": described}, 3, "config.py")
    assert found.keypoints == ("a", "b", "c") and found.sigmas == (0.05, 0.05, 0.05)
    with pytest.raises(UserError, match=r"no skeleton for the 4 keypoints.*names 17.*names 3"):
        skeleton_of(config, {"dataset_meta": described}, 4, "config.py")
