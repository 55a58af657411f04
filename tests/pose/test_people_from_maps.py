"""Grouping and centre regression against MMPose's codecs, on synthetic maps of many people."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from annotator.models.openmmlab import mmlab
from annotator.pose.associative_embedding import AssociativeEmbedding
from annotator.pose.center_regression import CenterRegression, nearby_joints_nms

ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
K, H, W = 17, 96, 128


def crowd(people: int, components: int, seed: int, noise: float = 0.02) -> tuple[torch.Tensor, torch.Tensor]:
    """Heatmaps (K, H, W), a peak for most joints of each person; tags (L * K, H, W) near the person's own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:H, :W]
    heatmaps = rng.random((K, H, W)) * noise
    tags = rng.normal(0, 0.2, (components, K, H, W))
    for _ in range(people):
        own = rng.normal(0, 3, components)
        for joint in range(K):
            if rng.random() < 0.2:
                continue
            cx, cy = rng.integers(0, W), rng.integers(0, H)
            height = rng.uniform(0.2, 1.2)
            heatmaps[joint] += height * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 8)
            near = (slice(max(cy - 2, 0), cy + 3), slice(max(cx - 2, 0), cx + 3))
            for component in range(components):
                tags[component, joint][near] = own[component] + rng.normal(0, 0.3)
    as_tensor = torch.from_numpy(heatmaps.astype(np.float32))
    return as_tensor, torch.from_numpy(tags.reshape(-1, H, W).astype(np.float32))


@pytest.mark.parametrize("components", [1, 2])
@pytest.mark.parametrize("people", [1, 4, 12, 40])
def test_grouping_equals_mmpose(people, components):
    mmlab.prepare()
    from mmpose.codecs import AssociativeEmbedding as Theirs

    theirs = Theirs(
        input_size=(W * 2, H * 2),
        heatmap_size=(W, H),
        decode_keypoint_order=list(ORDER),
        decode_topk=30,
        decode_center_shift=0.5,
        decode_max_instances=30,
    )
    ours = AssociativeEmbedding((2.0, 2.0), ORDER, center_shift=0.5, max_people=30)
    for seed in range(2):
        heatmaps, tags = crowd(people, components, seed)
        (points,), (joints,), (scores,) = theirs.batch_decode(heatmaps[None], tags[None])
        found = ours.decode(heatmaps, tags)
        assert len(found[0]) > 0
        np.testing.assert_allclose(found[0], points, atol=1e-4)
        np.testing.assert_allclose(found[1], joints, atol=1e-6)
        np.testing.assert_allclose(found[2], scores, atol=1e-6)


def test_no_peak_no_people():
    keypoints, joints, scores = AssociativeEmbedding((1.0, 1.0), ORDER).decode(
        torch.zeros(K, H, W), torch.zeros(K, H, W)
    )
    assert keypoints.shape == (0, K, 2) and joints.shape == (0, K) and scores.shape == (0,)


def test_centers_equal_mmpose():
    mmlab.prepare()
    from mmpose.codecs import SPR

    theirs = SPR(
        (W * 4, H * 4), (W, H), sigma=(4, 2), generate_keypoint_heatmaps=True, decode_max_instances=30
    )
    heatmaps, _ = crowd(12, 1, 5)
    heatmaps = torch.cat([heatmaps, heatmaps[:1]])
    displacements = torch.randn(2 * K, H, W, generator=torch.Generator().manual_seed(0)) * 20
    points, (scores, joints) = theirs.decode(heatmaps, displacements)
    found = CenterRegression((4.0, 4.0)).decode(heatmaps, displacements)
    assert len(found[0]) == 30
    for ours, expected in zip(found, (points, joints, scores), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-6)


def test_no_center_no_people():
    keypoints, joints, scores = CenterRegression((4.0, 4.0)).decode(
        torch.zeros(K + 1, H, W), torch.zeros(2 * K, H, W)
    )
    assert keypoints.shape == (0, K, 2) and joints.shape == (0, K) and scores.shape == (0,)


@pytest.mark.parametrize("most", [30, 5])
def test_nearby_joints_equal_mmpose(most):
    mmlab.prepare()
    from mmpose.evaluation.functional import nearby_joints_nms as theirs

    rng = np.random.default_rng(1)
    bodies = rng.uniform(0, 300, (8, K, 2))
    people = np.concatenate([bodies + rng.normal(0, spread, bodies.shape) for spread in (0, 4, 8, 15)])
    joints = rng.random((len(people), K))
    database = [{"keypoints": k, "score": s} for k, s in zip(people, joints, strict=True)]
    expected = theirs(database, 0.05, score_per_joint=True, max_dets=most)
    kept = nearby_joints_nms(people, joints.mean(axis=1), 0.05, max_people=most)
    assert kept.tolist() == list(expected)
    assert most == 5 or 8 <= len(kept) < len(people)


def test_somebody_without_extent_stays():
    assert nearby_joints_nms(np.zeros((1, K, 2)), np.ones(1)).tolist() == [0]
