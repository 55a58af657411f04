"""Skeletons: COCO's agrees with pycocotools and MMPose, and contradictions are refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from annotator.skeletons import COCO_17, Skeleton, from_dataset_meta


def test_sigmas_are_those_of_pycocotools():
    from pycocotools.cocoeval import Params

    np.testing.assert_allclose(COCO_17.sigmas, Params("keypoints").kpt_oks_sigmas)


def test_coco_is_what_mmpose_says():
    from annotator.models.openmmlab.mmlab import prepare

    prepare()
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    read = from_dataset_meta(parse_pose_metainfo({"from_file": "configs/_base_/datasets/coco.py"}))
    assert read.keypoints == COCO_17.keypoints
    assert read.edges == COCO_17.edges
    assert read.flip_indices == COCO_17.flip_indices
    np.testing.assert_allclose(read.sigmas, COCO_17.sigmas)


def test_mirrored_names_swap_sides():
    for name, mirrored in zip(COCO_17.keypoints, COCO_17.flip_indices, strict=True):
        expected = name.replace("left", "X").replace("right", "left").replace("X", "right")
        assert COCO_17.keypoints[mirrored] == expected


def test_round_trip():
    assert Skeleton.from_dict(COCO_17.to_dict()) == COCO_17


@pytest.mark.parametrize(
    "change",
    [{"sigmas": (0.1,)}, {"flip_indices": (0,) * 17}, {"edges": ((0, 17),)}, {"keypoints": ("nose",)}],
)
def test_contradictions_are_refused(change):
    with pytest.raises(ValueError, match="coco"):
        dataclasses.replace(COCO_17, **change)
