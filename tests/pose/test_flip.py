"""The flip test against the heads of MMPose, whose networks are replaced by given outputs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from annotator.pose.decoding import make_decoder
from annotator.pose.flip import FlipTest, flip_indices

PAIRS = [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)]
INDICES = flip_indices(17, PAIRS)
MSRA = {"type": "MSRAHeatmap", "input_size": (192, 256), "heatmap_size": (48, 64), "sigma": 2}
UDP = {"type": "UDPHeatmap", "input_size": (192, 256), "heatmap_size": (48, 64)}
SIMCC = {"type": "SimCCLabel", "input_size": (192, 256), "sigma": 6.0}
REGRESSION = {"type": "RegressionLabel", "input_size": (192, 256)}
INTEGRAL = {
    "type": "IntegralRegressionLabel",
    "input_size": (192, 256),
    "heatmap_size": (48, 64),
    "sigma": 2.0,
}
HEATMAP_HEAD = {
    "type": "HeatmapHead",
    "in_channels": 17,
    "out_channels": 17,
    "deconv_out_channels": None,
    "final_layer": None,
}
SIMCC_HEAD = {
    "type": "SimCCHead",
    "in_channels": 8,
    "out_channels": 17,
    "input_size": (192, 256),
    "in_featuremap_size": (6, 8),
    "deconv_out_channels": None,
}
INTEGRAL_HEAD = {
    "type": "IntegralRegressionHead",
    "in_channels": 8,
    "num_joints": 17,
    "in_featuremap_size": (6, 8),
    "deconv_out_channels": None,
}
COORDINATES = (17, 2)
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[tuple[int, ...]]]] = {
    "msra": (HEATMAP_HEAD, MSRA, {"shift_heatmap": True}, [(17, 64, 48)]),
    "msra unshifted": (HEATMAP_HEAD, MSRA, {"shift_heatmap": False}, [(17, 64, 48)]),
    "udp": (HEATMAP_HEAD, UDP, {"shift_heatmap": False}, [(17, 64, 48)]),
    "udp combined": (
        HEATMAP_HEAD,
        {**UDP, "heatmap_type": "combined"},
        {"shift_heatmap": False, "flip_mode": "udp_combined"},
        [(51, 64, 48)],
    ),
    "udp combined shifted": (
        HEATMAP_HEAD,
        {**UDP, "heatmap_type": "combined"},
        {"shift_heatmap": True, "flip_mode": "udp_combined"},
        [(51, 64, 48)],
    ),
    "simcc": (SIMCC_HEAD, SIMCC, {}, [(17, 384), (17, 512)]),
    "deeppose": (
        {"type": "RegressionHead", "in_channels": 8, "num_joints": 17},
        REGRESSION,
        {},
        [COORDINATES],
    ),
    "deeppose unshifted": (
        {"type": "RegressionHead", "in_channels": 8, "num_joints": 17},
        REGRESSION,
        {"shift_coords": False},
        [COORDINATES],
    ),
    "rle": ({"type": "RLEHead", "in_channels": 8, "num_joints": 17}, REGRESSION, {}, [(17, 4)]),
    "integral": (INTEGRAL_HEAD, INTEGRAL, {"shift_heatmap": True}, [COORDINATES, (17, 64, 48)]),
}


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_equals_the_head(codecs, name, flip):
    import mmpose.models  # noqa: F401
    from mmpose.registry import MODELS

    head_cfg, codec_cfg, test_cfg, shapes = CASES[name]
    head = MODELS.build({**head_cfg, "decoder": codec_cfg})
    head.forward = lambda outputs: outputs
    generator = torch.Generator().manual_seed(0)
    plain, mirrored = ([torch.randn(5, *s, generator=generator) for s in shapes] for _ in range(2))
    if len(shapes[0]) == 3:
        plain, mirrored = ([smooth(v) for v in side] for side in (plain, mirrored))
    meta = SimpleNamespace(metainfo={"flip_indices": list(INDICES), "input_size": (192, 256)})

    decoder = make_decoder(codec_cfg, head_cfg)
    outputs: Any = plain
    if flip:
        how = FlipTest(
            decoder.kind,
            INDICES,
            shift_heatmap=test_cfg.get("shift_heatmap", False),
            shift_coords=test_cfg.get("shift_coords", True),
            input_width=192,
        )
        outputs = how.merge(plain, mirrored)
    keypoints, scores = decoder(outputs)

    # The heads write into their inputs.
    theirs: Any = [tuple(v.clone() for v in side) for side in (plain, mirrored)]
    if len(shapes) == 1:
        theirs = [t[0] for t in theirs]
    people = head.predict(theirs if flip else theirs[0], [meta], {**test_cfg, "flip_test": flip})
    expected = np.concatenate([np.asarray(p.keypoints) for p in people])
    distance = np.abs(keypoints.numpy() - expected).max(axis=-1)
    assert np.percentile(distance, 99.9) < 0.02
    expected_scores = np.concatenate([np.asarray(p.keypoint_scores) for p in people])
    np.testing.assert_allclose(scores.numpy(), expected_scores, atol=1e-5)


def smooth(maps: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(maps, 7, 1, 3) * 3


@pytest.mark.parametrize("name", CASES)
def test_numpy_stays_numpy_and_inputs_stay_as_they_are(name):
    _, codec_cfg, test_cfg, shapes = CASES[name]
    rng = np.random.default_rng(0)
    plain, mirrored = ([rng.standard_normal((2, *s)).astype(np.float32) for s in shapes] for _ in range(2))
    before = [v.copy() for v in (*plain, *mirrored)]
    kind = make_decoder(codec_cfg).kind
    how = FlipTest(kind, INDICES, shift_heatmap=test_cfg.get("shift_heatmap", False), input_width=192)
    merged = how.merge(plain, mirrored)
    tensors = how.merge([torch.from_numpy(v) for v in plain], [torch.from_numpy(v) for v in mirrored])
    if not isinstance(merged, tuple):
        merged, tensors = (merged,), (tensors,)
    for ours, tensor in zip(merged, tensors, strict=True):
        assert isinstance(ours, np.ndarray)
        np.testing.assert_array_equal(ours, tensor.numpy())
    for value, was in zip((*plain, *mirrored), before, strict=True):
        np.testing.assert_array_equal(value, was)


def test_a_mirrored_person_agrees_with_the_plain_one():
    maps = torch.rand(2, 17, 64, 48)
    mirrored = maps[:, list(INDICES)].flip(-1)
    torch.testing.assert_close(FlipTest("heatmap", INDICES).merge(maps, mirrored), maps)


def test_saturated_sigmas_survive_the_average():
    plain = torch.zeros(1, 17, 4)
    plain[..., 2], plain[..., 3] = 60, -60
    merged = FlipTest("regression", INDICES, input_width=192).merge(plain, plain.clone())
    _, scores = make_decoder(REGRESSION)(merged)
    torch.testing.assert_close(scores, torch.full((1, 17), 0.5))


def test_flip_indices():
    assert flip_indices(5, [(1, 2), (4, 3)]) == (0, 2, 1, 4, 3)
