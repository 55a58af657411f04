"""A new pose model on the boxes of a run, and a second opinion, with the small real models on real photos."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator.config import load_config
from annotator.pose.oks import joint_similarity
from annotator.runtime.derive import launch_from, settings_of
from annotator.runtime.launch import launch
from annotator.runtime.progress import ProgressBar
from annotator.store.reader import Run
from annotator.store.verify import verify

# Two with people, one without a box.
PHOTOS = ("000000397133.jpg", "000000229358.jpg", "000000011813.jpg")


def rows(run: Run, table: str) -> list[dict[str, Any]]:
    batches = run.images() if table == "images" else run.instances()
    return [row for batch in batches for row in batch.to_pylist()]


def points(run: Run) -> np.ndarray:
    return np.array([row["keypoints"] for row in rows(run, "instances")]).reshape(-1, 17, 3)


@pytest.fixture(scope="module")
def start(assets, tmp_path_factory):
    """`start(name, base=None, **settings)`: a run over three photos and one that is broken."""
    folder = tmp_path_factory.mktemp("reruns")
    photos = folder / "photos"
    photos.mkdir()
    for name in PHOTOS:
        shutil.copy(assets.photos / name, photos)
    (photos / "broken.jpg").write_bytes((assets.photos / PHOTOS[0]).read_bytes()[:200])

    def run(name: str, base: Path | None = None, **settings: Any) -> Run:
        given = {"out": str(folder / name), "executor": "inline", "device": "cpu"} | settings
        with ProgressBar(quiet=True) as bar:
            if base is not None:
                config = load_config(None, given, [], settings_of(str(base), given))
                launch_from(config, str(base), bar)
            else:
                given |= {
                    "inputs": (str(photos),), "boxes": str(assets.ground_truth), "shard_size": 3,
                    "engine": "torch", "precision": "fp32", "flip": False,
                }  # fmt: skip
                launch(load_config(None, given, []), bar)
        return Run(folder / name)

    return run


@pytest.fixture(scope="module")
def tiny(assets) -> dict[str, str]:
    return {"pose": str(assets.pose_config), "pose_weights": str(assets.pose_weights)}


def test_a_new_model_on_old_boxes_is_a_run_of_that_model(start, tiny) -> None:
    old = start("old", pose="demo-pose")
    fresh = start("fresh", **tiny)
    new = start("new", base=old.path, **tiny)
    assert verify(new.path).ok
    assert rows(new, "images") == rows(fresh, "images") == rows(old, "images")
    assert [row["status"] for row in rows(new, "images")].count("error") == 1
    assert len(points(new)) == len(points(old)) > 3
    same = ("id", "bbox", "bbox_score", "image_id")
    pairs = zip(rows(new, "instances"), rows(fresh, "instances"), strict=True)
    assert all(a[name] == b[name] for a, b in pairs for name in same)
    assert np.abs(points(new) - points(fresh)).max() < 0.01
    assert np.abs(points(new) - points(old))[..., :2].max() > 1
    document = new.metadata
    assert document["pose_model"]["name"] == fresh.metadata["pose_model"]["name"]
    assert document["boxes"] == old.metadata["boxes"]
    assert document["derived_from"]["reused"] == ["inputs", "errors", "boxes"]

    # Both on the same boxes: the first's rows, and how far the second agrees.
    second = {f"second_{name}": value for name, value in tiny.items()}
    both = start("both", base=old.path, **second)
    # Batches may hold other neighbours, and round otherwise.
    assert np.abs(points(both) - points(old)).max() < 0.01
    areas = np.array([row["area"] for row in rows(old, "instances")])
    expected = joint_similarity(
        points(old)[..., :2], points(new)[..., :2], areas, np.array(old.skeleton.sigmas)
    )
    agreement = np.array([row["keypoint_agreement"] for row in rows(both, "instances")])
    assert agreement == pytest.approx(expected, abs=1e-3)
    assert both.metadata["second_pose_model"] == new.metadata["pose_model"]

    # A cascade that trusts nobody is the second model's run; one that trusts everybody the first's.
    doubt = {"cascade_pose_score": 9.0, "cascade_bbox_score": 0.0}
    all_of_them = start("all", base=old.path, cascade=True, **second, **doubt)
    assert np.abs(points(all_of_them) - points(new))[..., :2].max() < 0.01
    assert {row["posed_by"] for row in rows(all_of_them, "instances")} == {"tinypose_256x192"}
    none = start("none", base=old.path, cascade=True, **second, cascade_pose_score=0.0)
    assert np.abs(points(none) - points(old)).max() < 0.01
    assert {row["posed_by"] for row in rows(none, "instances")} == {"demo-pose"}
    assert all(row["second_oks"] is None for row in rows(none, "instances"))
