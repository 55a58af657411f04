"""Batched decoding of heatmaps against MMPose's codecs, which decode one person at a time in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.pose import blur, dark
from annotator.pose.decoding import make_decoder

SIZES = [((192, 256), (48, 64)), ((288, 384), (72, 96)), ((256, 256), (64, 64))]
MSRA = {"type": "MSRAHeatmap", "sigma": 2}
UDP = {"type": "UDPHeatmap"}
CODECS: dict[str, dict[str, Any]] = {
    "msra": MSRA,
    "dark": {**MSRA, "unbiased": True},
    "dark17": {**MSRA, "unbiased": True, "blur_kernel_size": 17},
    "udp": UDP,
    "udp17": {**UDP, "blur_kernel_size": 17},
    "udp_combined": {**UDP, "heatmap_type": "combined"},
    "megvii": {"type": "MegviiHeatmap", "kernel_size": 11},
    "megvii5": {"type": "MegviiHeatmap", "kernel_size": 5},
}
KINDS = ["blobs", "faint", "loud", "uniform", "normal", "ties", "borders", "flat", "sparse", "negative"]


def blobs(
    seed: int, n: int, k: int, size: tuple[int, int], *, high: float = 1.1, noise: float = 0.01
) -> np.ndarray:
    """(n, k, H, W) float32: one Gaussian each, inside, at the border or beyond it, and noise."""
    rng = np.random.default_rng(seed)
    w, h = size
    yy, xx = np.mgrid[:h, :w]
    cx = rng.uniform(-3, w + 3, (n, k, 1, 1))
    cy = rng.uniform(-3, h + 3, (n, k, 1, 1))
    amplitude = rng.uniform(0, high, (n, k, 1, 1))
    sigma = rng.uniform(1.5, 3, (n, k, 1, 1))
    maps = amplitude * np.exp(-((xx - cx) ** 2 + (yy - cy) ** 2) / (2 * sigma**2))
    return (maps + noise * rng.standard_normal(maps.shape)).astype(np.float32)


def heatmap_kinds(n: int, k: int, size: tuple[int, int], seed: int = 0) -> dict[str, np.ndarray]:
    """Batches (n, k, H, W) float32 by what is special about them."""
    rng = np.random.default_rng(seed)
    w, h = size
    shape = (n, k, h, w)
    corners = blobs(seed, n, k, size, noise=0.001)
    for i, (y, x) in enumerate(
        [(0, 0), (0, w - 1), (h - 1, 0), (h - 1, w - 1), (0, 7), (9, 0), (h - 1, 5), (4, w - 1)]
    ):
        corners[:, i % k, y, x] = 2
    return {
        "blobs": blobs(seed, n, k, size),
        "faint": blobs(seed, n, k, size, high=0.02, noise=0.0005),
        "loud": blobs(seed, n, k, size, high=260, noise=1),
        "uniform": rng.random(shape, dtype=np.float32),
        "normal": rng.standard_normal(shape).astype(np.float32),
        "ties": (np.round(blobs(seed, n, k, size) * 6) / 6 + np.float32(1 / 64)).astype(np.float32),
        "borders": corners,
        "flat": np.full(shape, 0.4, np.float32),
        "sparse": np.where(rng.random(shape) > 0.999, 1.0, 0.0).astype(np.float32) + np.float32(1e-6),
        "negative": -rng.random(shape, dtype=np.float32) - np.float32(0.1),
    }


def codec_cfg(name: str, sizes: tuple[tuple[int, int], tuple[int, int]] = SIZES[0]) -> dict[str, Any]:
    return {**CODECS[name], "input_size": sizes[0], "heatmap_size": sizes[1]}


def mmpose_decode(codecs, cfg: dict[str, Any], maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    codec = codecs.build(cfg)
    with np.errstate(all="ignore"):
        people = [codec.decode(m.copy()) for m in maps]
    return np.concatenate([p[0] for p in people]), np.concatenate([p[1] for p in people])


def assert_equal(ours, theirs) -> None:
    """Within the project's promise; joints without a positive value are only compared by their score."""
    keypoints, scores = ours
    np.testing.assert_allclose(scores, theirs[1], atol=1e-5, rtol=1e-6)
    located = theirs[1] > 0
    distance = np.abs(keypoints - theirs[0]).max(axis=-1)[located]
    if len(distance):
        assert np.percentile(distance, 99.9) < 0.02
    assert np.isfinite(keypoints).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CODECS)
def test_equals_mmpose(codecs, name, kind):
    cfg = codec_cfg(name)
    channels = 51 if name == "udp_combined" else 17
    maps = heatmap_kinds(12, channels, cfg["heatmap_size"])[kind]
    before = maps.copy()
    keypoints, scores = make_decoder(cfg)(torch.from_numpy(maps))
    assert keypoints.shape == (12, 17, 2) and scores.shape == (12, 17)
    assert keypoints.dtype == scores.dtype == torch.float32
    np.testing.assert_array_equal(maps, before)
    assert_equal((keypoints.numpy(), scores.numpy()), mmpose_decode(codecs, cfg, maps))


@pytest.mark.parametrize("sizes", SIZES[1:])
@pytest.mark.parametrize("name", CODECS)
def test_equals_mmpose_at_other_sizes(codecs, name, sizes):
    cfg = codec_cfg(name, sizes)
    maps = blobs(3, 6, 51 if name == "udp_combined" else 17, sizes[1])
    assert_equal(make_decoder(cfg)(maps), mmpose_decode(codecs, cfg, maps))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(CODECS)), st.integers(5, 20), st.integers(5, 20))
def test_equals_mmpose_on_small_maps(codecs, seed, name, w, h):
    cfg = {**CODECS[name], "input_size": (4 * w, 4 * h), "heatmap_size": (w, h)}
    rng = np.random.default_rng(seed)
    maps = (blobs(seed, 2, 6, (w, h)) * rng.choice([0.001, 1, 100])).astype(np.float32)
    keypoints, scores = make_decoder(cfg)(maps)
    theirs = mmpose_decode(codecs, cfg, maps)
    np.testing.assert_allclose(scores, theirs[1], atol=1e-5, rtol=1e-6)
    located = theirs[1] > 0
    np.testing.assert_allclose(keypoints[located], theirs[0][located], atol=0.05, rtol=1e-3)


@pytest.mark.parametrize("name", ["msra", "dark", "udp", "megvii"])
def test_joints_without_a_positive_value_lie_one_cell_outside_as_in_mmpose(codecs, name):
    cfg = codec_cfg(name)
    maps = heatmap_kinds(2, 17, (48, 64))["negative"]
    keypoints, _ = make_decoder(cfg)(maps)
    np.testing.assert_allclose(keypoints, mmpose_decode(codecs, cfg, maps)[0], atol=1e-4)
    assert (keypoints < 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", CODECS)
def test_a_value_that_is_no_number_costs_only_its_joint(name, bad):
    cfg = codec_cfg(name)
    per_joint = 3 if name == "udp_combined" else 1
    maps = blobs(1, 3, 17 * per_joint, (48, 64))
    expected_keypoints, expected_scores = make_decoder(cfg)(maps)
    broken = maps.copy()
    broken[1, 4 * per_joint, 30, 20] = bad
    broken[2, 5 * per_joint] = bad
    keypoints, scores = make_decoder(cfg)(broken)
    assert np.isfinite(keypoints).all() and np.isfinite(scores).all()
    assert scores[1, 4] == scores[2, 5] == 0
    others = np.ones((3, 17), bool)
    others[1, 4] = others[2, 5] = False
    np.testing.assert_array_equal(scores[others], expected_scores[others])
    np.testing.assert_array_equal(keypoints[others], expected_keypoints[others])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("channel", [1, 2])
def test_an_offset_that_is_no_number_leaves_its_joint_without_a_place(bad, channel):
    maps = blobs(1, 2, 51, (48, 64))
    expected_keypoints, expected_scores = make_decoder(codec_cfg("udp_combined"))(maps)
    maps[1, 4 * 3 + channel] = bad
    keypoints, scores = make_decoder(codec_cfg("udp_combined"))(maps)
    assert scores[1, 4] == 0 and (keypoints[1, 4] < 0).all()
    others = np.ones((2, 17), bool)
    others[1, 4] = False
    np.testing.assert_array_equal(scores[others], expected_scores[others])
    np.testing.assert_array_equal(keypoints[others], expected_keypoints[others])


@pytest.mark.parametrize("name", CODECS)
def test_empty_maps_are_not_located(name):
    maps = np.zeros((2, 51 if name == "udp_combined" else 17, 64, 48), np.float32)
    keypoints, scores = make_decoder(codec_cfg(name))(maps)
    assert np.isfinite(keypoints).all()
    assert not scores.any()


def test_the_first_of_equal_maxima_counts(codecs):
    maps = np.zeros((1, 1, 64, 48), np.float32)
    maps[0, 0, [40, 40, 20], [7, 30, 33]] = 1
    keypoints, _ = make_decoder(codec_cfg("msra"))(maps)
    np.testing.assert_allclose(keypoints[0, 0], [33 * 4, 20 * 4])


def test_half_precision_and_last_stage_and_nobody(codecs):
    cfg = codec_cfg("udp")
    maps = torch.from_numpy(blobs(0, 2, 17, (48, 64)))
    half = maps.half()
    expected = mmpose_decode(codecs, cfg, half.float().numpy())
    keypoints, scores = make_decoder(cfg)([torch.zeros_like(half), half])
    assert_equal((keypoints.numpy(), scores.numpy()), expected)
    keypoints, scores = make_decoder(cfg)(maps[:0])
    assert keypoints.shape == (0, 17, 2) and scores.shape == (0, 17)


@pytest.mark.parametrize("name", CODECS)
def test_people_do_not_depend_on_their_batch(name):
    cfg = codec_cfg(name)
    maps = np.concatenate([m[:1] for m in heatmap_kinds(1, 51, (48, 64)).values()])
    whole = make_decoder(cfg)(maps)
    for i in range(len(maps)):
        alone = make_decoder(cfg)(maps[i : i + 1])
        np.testing.assert_allclose(alone[0][0], whole[0][i], atol=1e-4, rtol=1e-6)
        np.testing.assert_array_equal(alone[1][0], whole[1][i])


@pytest.mark.parametrize("name", ["dark", "dark17", "udp", "udp17"])
def test_whole_maps_are_blurred_for_a_few_joints_only(name, monkeypatch):
    refined = []

    def count(maps, size):
        refined.append(len(maps))
        return blur.blur_maps(maps, size)

    monkeypatch.setattr(dark, "blur_maps", count)
    maps = blobs(0, 16, 17, (48, 64), noise=0.001)
    make_decoder(codec_cfg(name))(maps)
    assert sum(refined) < 0.2 * 16 * 17


@pytest.mark.parametrize("size", [3, 5, 7, 9, 11, 15, 17, 23])
@pytest.mark.parametrize("reflect", [False, True])
def test_the_blur_of_other_devices_equals_opencv(size, reflect):
    maps = torch.from_numpy(heatmap_kinds(2, 3, (48, 64))["normal"]).flatten(0, 1)
    expected = blur.blur_maps(maps, size, reflect)
    ours = blur.blur_maps_torch(maps, size, reflect)
    torch.testing.assert_close(ours, expected, atol=3e-7, rtol=0)
    # FMA or not is the processor's choice; with it, larger kernels agree to the last bit.
    assert expected.std() > 0.01


def test_mirrored_borders_of_maps_smaller_than_the_kernel():
    maps = torch.from_numpy(np.random.default_rng(0).random((2, 5, 4), dtype=np.float32))
    torch.testing.assert_close(blur.blur_maps_torch(maps, 23, True), blur.blur_maps(maps, 23, True))


@pytest.mark.parametrize("name", ["dark", "udp", "udp_combined", "megvii"])
def test_the_path_of_other_devices_equals_mmpose(codecs, name, monkeypatch):
    from annotator.pose import heatmaps

    monkeypatch.setattr(heatmaps, "blur_maps", blur.blur_maps_torch)
    monkeypatch.setattr(dark, "blur_maps", blur.blur_maps_torch)
    cfg = codec_cfg(name)
    for kind in ("blobs", "faint"):
        maps = heatmap_kinds(6, 51 if name == "udp_combined" else 17, (48, 64))[kind]
        assert_equal(make_decoder(cfg)(maps), mmpose_decode(codecs, cfg, maps))
