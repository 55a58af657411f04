"""What the demo models learn from: crops, joints and maps of body parts lie on each other, however turned."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from annotator.synth.body import FOREARM, HEAD, SHIN, THIGH, UPPER_ARM

JOB = Path(__file__).resolve().parents[2] / "jobs" / "train_demo"
NOSE, LEFT_ELBOW, RIGHT_ELBOW, LEFT_KNEE, RIGHT_KNEE = 0, 7, 8, 13, 14
CLOTH_CLASS = 16
# Classes are the body model's parts plus one; garments that hang free have one of their own.
AROUND = {
    NOSE: {HEAD + 1},
    LEFT_ELBOW: {UPPER_ARM[0] + 1, FOREARM[0] + 1},
    RIGHT_ELBOW: {UPPER_ARM[1] + 1, FOREARM[1] + 1},
    LEFT_KNEE: {THIGH[0] + 1, SHIN[0] + 1, CLOTH_CLASS},
    RIGHT_KNEE: {THIGH[1] + 1, SHIN[1] + 1, CLOTH_CLASS},
}


@pytest.fixture(scope="module", autouse=True)
def jobs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(JOB), *sys.path])
        yield


@pytest.fixture(scope="module")
def people(jobs):
    from make_arrays import make_picture

    return [person for index in range(12) for person in make_picture((7, index)).people]


def share_on_their_parts(keypoints: np.ndarray, parts: np.ndarray, size: tuple[int, int]) -> list[bool]:
    """Of each visible joint of some, whether its body part is seen at its place or beside it."""
    scale = np.array(parts.shape[::-1]) / size
    hits = []
    for joint, classes in AROUND.items():
        x, y, v = keypoints[joint]
        column, row = (int(value) for value in (np.array([x, y]) + 0.5) * scale)
        if v == 2 and 0 <= column < parts.shape[1] and 0 <= row < parts.shape[0]:
            near = parts[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            hits.append(bool(classes & set(near.ravel().tolist())))
    return hits


def test_visible_joints_lie_on_their_body_parts(people) -> None:
    hits = [hit for one in people for hit in share_on_their_parts(one.keypoints, one.parts, (144, 192))]
    assert len(hits) >= 30 and np.mean(hits) > 0.97


def test_left_and_right_parts_are_not_the_same(people) -> None:
    from perturb import MIRRORED_PARTS

    hits = [
        hit
        for one in people
        for hit in share_on_their_parts(one.keypoints, MIRRORED_PARTS[one.parts], (144, 192))
    ]
    assert np.mean(hits) < 0.6


def test_turned_scaled_and_mirrored_they_still_do(people) -> None:
    from arrays import FLIPPED
    from perturb import RandomTopdown

    transform = RandomTopdown((96, 128), (24, 32), shift=0.05, scale=(0.8, 1.25), turn=30)
    np.random.seed(0)
    hits = []
    for one in people:
        turned = transform.transform(
            {
                "img": one.pixels,
                "parts": one.parts,
                "bbox": one.bbox[None].astype(np.float32),
                "keypoints": one.keypoints[None, :, :2].astype(np.float32),
                "keypoints_visible": one.keypoints[None, :, 2],
                "flip_indices": FLIPPED,
            }
        )
        assert turned["img"].shape == (128, 96, 3) and turned["parts"].shape == (32, 24)
        joints = np.concatenate([turned["keypoints"][0], turned["keypoints_visible"][0][:, None]], axis=1)
        hits += share_on_their_parts(joints, turned["parts"], (96, 128))
    assert len(hits) >= 30 and np.mean(hits) > 0.97


def test_parts_are_finished_one_by_one_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import make_arrays

    monkeypatch.setattr(make_arrays, "PART", 2)
    monkeypatch.setattr(sys, "argv", ["make_arrays.py", str(tmp_path), "--images", "4", "--workers", "1"])
    make_arrays.main()
    labels = np.load(tmp_path / "people" / "000002" / "labels.npz")
    pixels = np.load(tmp_path / "people" / "000002" / "pixels.npy")
    assert pixels.shape[1:] == (192, 144, 3) and len(pixels) == len(labels["keypoints"]) > 0
    pictures = np.load(tmp_path / "pictures" / "000002" / "labels.npz")
    assert len(pictures["starts"]) == 3 and pictures["starts"][-1] == len(pictures["bboxes"])
    before = (tmp_path / "people" / "000000" / "pixels.npy").stat().st_mtime_ns
    make_arrays.main()
    assert (tmp_path / "people" / "000000" / "pixels.npy").stat().st_mtime_ns == before
