"""Fixtures for all rooms: the real weights, photos and video beside the project."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Assets:
    """Real weights, photos and video; never copied into the project."""

    root: Path

    @property
    def photos(self) -> Path:
        return self.root / "photos" / "images"

    @property
    def ground_truth(self) -> Path:
        return self.root / "photos" / "person_keypoints.json"

    @property
    def pose_config(self) -> Path:
        return self.root / "weights" / "tinypose_256x192.py"

    @property
    def pose_weights(self) -> Path:
        return self.root / "weights" / "tinypose_256x192.pth"

    @property
    def detector_config(self) -> Path:
        from importlib.util import find_spec

        spec = find_spec("mmpose")
        assert spec is not None and spec.origin is not None
        return Path(spec.origin).parent / ".mim/demo/mmdetection_cfg/rtmdet_nano_320-8xb32_coco-person.py"

    @property
    def detector_weights(self) -> Path:
        return self.root / "weights" / "rtmdet_nano_person_320.pth"

    @property
    def video(self) -> Path:
        return self.root / "video" / "walkers.mp4"


@pytest.fixture(scope="session")
def assets() -> Assets:
    """The assets beside the project: absent ones skip a test, except in CI, where that is a failure."""
    root = Path(os.environ.get("ANNOTATOR_ASSETS", ROOT.parent / "shared" / "assets"))
    if not root.is_dir():
        message = f"the real weights and photos are not at {root} (set ANNOTATOR_ASSETS)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return Assets(root)
