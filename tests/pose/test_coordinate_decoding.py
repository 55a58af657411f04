"""SimCC and regression against MMPose's codecs, and what `make_decoder` refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.errors import UserError
from annotator.pose.decoding import make_decoder

SIMCC: dict[str, dict[str, Any]] = {
    "gaussian": {"sigma": (4.9, 5.66), "normalize": False},
    "normalised": {"sigma": 6.0},
    "standard": {"smoothing_type": "standard", "label_smooth_weight": 0.1, "simcc_split_ratio": 3.0},
    "dark": {"sigma": (4.9, 5.66), "normalize": False, "use_dark": True},
    "dark6": {"sigma": 6.0, "use_dark": True},
}


def simcc_cfg(name: str) -> dict[str, Any]:
    return {"type": "SimCCLabel", "input_size": (192, 256), **SIMCC[name]}


def distributions(seed: int, n: int, k: int, length: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    grid = np.arange(length)
    centre = rng.uniform(-4, length + 4, (n, k, 1))
    shape = np.exp(-((grid - centre) ** 2) / (2 * 5.5**2)) * rng.uniform(0.05, 1.1, (n, k, 1))
    noisy = shape + 0.01 * rng.standard_normal(shape.shape)
    kinds = {
        "peaks": noisy,
        "loud": noisy * 90,
        "uniform": rng.random((n, k, length)),
        "ties": np.round(noisy * 5) / 5 + 1 / 64,
        "flat": np.full((n, k, length), 0.3),
        "negative": -rng.random((n, k, length)) - 0.1,
    }
    return {name: v.astype(np.float32) for name, v in kinds.items()}


@pytest.mark.parametrize("kind", ["peaks", "loud", "uniform", "ties", "flat", "negative"])
@pytest.mark.parametrize("name", SIMCC)
def test_simcc_equals_mmpose(codecs, name, kind):
    cfg = simcc_cfg(name)
    ratio = cfg.get("simcc_split_ratio", 2.0)
    x = distributions(0, 8, 17, int(192 * ratio))[kind]
    y = distributions(1, 8, 17, int(256 * ratio))[kind]
    expected, expected_scores = codecs.build(cfg).decode(x.copy(), y.copy())
    keypoints, scores = make_decoder(cfg)((torch.from_numpy(x), torch.from_numpy(y)))
    np.testing.assert_allclose(scores.numpy(), expected_scores, atol=1e-5)
    located = expected_scores > 0
    distance = np.abs(keypoints.numpy() - expected).max(axis=-1)
    if kind == "negative":
        assert not located.any()
        assert (keypoints < 0).all()
    else:
        assert np.percentile(distance[located], 99.9) < 0.02
    # An exported network returns a list of numpy arrays.
    again, again_scores = make_decoder(cfg)([x, y])
    np.testing.assert_array_equal(again, keypoints.numpy())
    np.testing.assert_array_equal(again_scores, scores.numpy())


@pytest.mark.parametrize("name", SIMCC)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_simcc_a_value_that_is_no_number_costs_only_its_joint(name, axis, bad):
    cfg = simcc_cfg(name)
    ratio = cfg.get("simcc_split_ratio", 2.0)
    xy = [
        distributions(0, 2, 17, int(192 * ratio))["peaks"],
        distributions(1, 2, 17, int(256 * ratio))["peaks"],
    ]
    expected, expected_scores = make_decoder(cfg)(xy)
    xy[axis] = xy[axis].copy()
    xy[axis][1, 3, 100] = bad
    keypoints, scores = make_decoder(cfg)(xy)
    assert np.isfinite(keypoints).all() and scores[1, 3] == 0
    others = np.ones((2, 17), bool)
    others[1, 3] = False
    np.testing.assert_array_equal(keypoints[others], expected[others])
    np.testing.assert_array_equal(scores[others], expected_scores[others])


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from(["RegressionLabel", "IntegralRegressionLabel"]), st.booleans()
)
def test_regression_equals_mmpose(codecs, seed, codec, with_sigma):
    cfg: dict[str, Any] = {"type": codec, "input_size": (192, 256)}
    if codec == "IntegralRegressionLabel":
        cfg |= {"heatmap_size": (48, 64), "sigma": 2.0}
    raw = np.random.default_rng(seed).normal(0.5, 0.5, (5, 17, 4 if with_sigma else 2)).astype(np.float32)
    activated = raw.copy()
    activated[..., 2:] = torch.from_numpy(raw[..., 2:]).sigmoid().numpy()
    expected, expected_scores = codecs.build(cfg).decode(activated)
    keypoints, scores = make_decoder(cfg)(raw)
    assert keypoints.dtype == scores.dtype == np.float32
    np.testing.assert_allclose(keypoints, expected, atol=1e-4)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)


def test_of_integral_regression_the_coordinates_are_decoded():
    cfg = {
        "type": "IntegralRegressionLabel",
        "input_size": (256, 256),
        "heatmap_size": (64, 64),
        "sigma": 2.0,
    }
    coords = torch.full((1, 17, 2), 0.25)
    keypoints, scores = make_decoder(cfg)((coords, torch.rand(1, 17, 64, 64)))
    torch.testing.assert_close(keypoints, torch.full((1, 17, 2), 64.0))
    assert (scores == 1).all()


def test_regression_nan_costs_only_its_joint():
    raw = np.zeros((2, 3, 4), np.float32)
    raw[0, 1, 0] = np.nan
    raw[1, 2, 3] = np.nan
    keypoints, scores = make_decoder({"type": "RegressionLabel", "input_size": (192, 256)})(raw)
    assert np.isfinite(keypoints).all()
    np.testing.assert_array_equal(scores == 0, [[False, True, False], [False, False, True]])


def test_the_last_codec_of_several_and_a_scope_before_the_name():
    stages = [
        {"type": "MegviiHeatmap", "input_size": (8, 8), "heatmap_size": (4, 4), "kernel_size": k}
        for k in (5, 3)
    ]
    maps = np.random.default_rng(0).random((1, 2, 4, 4), dtype=np.float32)
    scoped = {**stages[1], "type": "mmpose.MegviiHeatmap"}
    np.testing.assert_array_equal(make_decoder(stages)(maps)[0], make_decoder(scoped)(maps)[0])


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"type": "SPR", "input_size": (1, 1)}, "SPR.*of DEKRHead"),
        ({}, "no decoder"),
        (
            {"type": "UDPHeatmap", "input_size": (1, 1), "heatmap_size": (1, 1), "heatmap_type": "x"},
            "heatmap_type",
        ),
        ({"type": "UDPHeatmap", "input_size": (1, 1), "heatmap_size": (1, 1), "blur_kernel_size": 10}, "odd"),
        ({"type": "MegviiHeatmap", "input_size": (1, 1), "heatmap_size": (1, 1)}, "kernel_size"),
        ({"type": "MSRAHeatmap", "input_size": 5, "heatmap_size": (1, 1)}, "input_size"),
        ({"type": "SimCCLabel", "sigma": 0.1, "use_dark": True}, "sigma"),
    ],
)
def test_what_cannot_be_decoded_is_said(cfg, message):
    with pytest.raises(UserError, match=message):
        make_decoder(cfg, {"type": "DEKRHead"})
