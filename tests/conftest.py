"""Fixtures for all rooms: the real assets beside the project, and runs made without models."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from annotator.config import RunConfig, settings_sha256
from annotator.errors import ItemError
from annotator.items import Item
from annotator.people import Poses
from annotator.skeletons import COCO_17, Skeleton
from annotator.store import run_info
from annotator.store.commit import ShardWriter
from annotator.store.plan import Plan, TableRows, hash_rows, write_plan
from annotator.store.reader import Run
from annotator.store.rows import RowBuilder
from annotator.store.schema import PLAN, FileRecord, ModelRecord, Provenance, RunRecord
from annotator.store.visibility import ScoreThresholds

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


@dataclass(frozen=True)
class Picture:
    """One input of a made-up run: its people, or the error that it gives."""

    file_name: str
    people: Poses | ItemError = field(default_factory=lambda: poses_of())
    image_id: int | None = None
    size: tuple[int, int] | None = (640, 480)


def poses_of(
    bboxes: np.ndarray | list | None = None,
    keypoints: np.ndarray | None = None,
    scores: np.ndarray | list | None = None,
    joints: int = 17,
) -> Poses:
    """Poses from boxes (N, 4) xywh; joints on the diagonal unless given, all scores `scores`."""
    boxes = np.asarray(bboxes if bboxes is not None else [], np.float64).reshape(-1, 4)
    n = len(boxes)
    if keypoints is None:
        along = np.linspace(0.05, 0.95, joints)[None, :, None]
        keypoints = boxes[:, None, :2] + along * boxes[:, None, 2:]
    values = np.asarray(scores if scores is not None else np.full(n, 0.9), np.float32)
    return Poses(
        bboxes=boxes,
        bbox_scores=values,
        keypoints=np.asarray(keypoints, np.float32),
        keypoint_scores=np.repeat(values[:, None], joints, axis=1),
        scores=values,
    )


class MadeRun:
    """A run folder with a plan and run.json, whose shards are committed one by one, without any model."""

    def __init__(
        self, path: Path, pictures: list[Picture], shard_size: int, skeleton: Skeleton = COCO_17
    ) -> None:
        self.path, self.pictures, self.skeleton = path, pictures, skeleton
        self.items = [
            Item(
                i,
                1000 + i if p.image_id is None else p.image_id,
                f"/data/{p.file_name}",
                p.file_name,
                i // shard_size,
            )
            for i, p in enumerate(pictures)
        ]
        self.shards = 1 + (len(pictures) - 1) // shard_size
        columns = {name: [getattr(item, name, None) for item in self.items] for name in PLAN.names}
        table = pa.table([pa.array(columns[f.name], f.type) for f in PLAN], schema=PLAN)
        config = RunConfig(inputs=("/data",), out=str(path), shard_size=shard_size)
        rows = TableRows(table)
        plan = Plan(rows, shard_size=shard_size, sha256=hash_rows(rows, shard_size))
        write_plan(plan, path)
        model = ModelRecord("test-pose", "ab" * 32, "test-pose.pth", (192, 256))
        self.provenance = Provenance(model, None, None, config.sha256(), plan.sha256)
        settings = config.model_dump(mode="json")
        run_info.create(path, run_info.RunInfo(settings, self.provenance, len(self.items), self.shards))

    def tables(self, shard: int) -> tuple[pa.Table, pa.Table]:
        """The rows of one shard, images and instances."""
        rows = RowBuilder(self.skeleton, ScoreThresholds(), self.provenance)
        for item, picture in zip(self.items, self.pictures, strict=True):
            if item.shard == shard:
                rows.add(item, picture.size, picture.people)
        return rows.tables()

    def commit(self, *shards: int) -> MadeRun:
        """Commit these shards; all when none is named."""
        for shard in shards or range(self.shards):
            assert ShardWriter(self.path, shard).commit(*self.tables(shard), {"seconds": 1.5}).won
        return self

    def set(self, **settings: object) -> MadeRun:
        """As if it had been started with these settings."""
        config = run_info.read(self.path).config | settings
        self.provenance = replace(run_info.read(self.path).provenance, config_sha256=settings_sha256(config))
        run_info.update(self.path, provenance=self.provenance, config=config)
        return self

    def open(self) -> Run:
        """As its readers see it."""
        return Run(self.path)


@pytest.fixture
def people() -> Callable[..., Poses]:
    """`people(bboxes, keypoints=None, scores=None, joints=17)`: poses made to order."""
    return poses_of


@pytest.fixture
def picture() -> type[Picture]:
    """`picture(file_name, people_or_error)`: an input of a made-up run."""
    return Picture


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., MadeRun]:
    """Makes a run folder from pictures: `make_run(pictures, shard_size=2, skeleton=COCO_17).commit()`."""
    return lambda pictures, shard_size=2, **more: MadeRun(tmp_path / "run", pictures, shard_size, **more)


@pytest.fixture
def cascade(make_run) -> Run:
    """A run of two models, from another run and with a calibration; the second posed the second person."""
    poses = poses_of([[0, 10, 100, 200], [300, 10, 100, 200]])
    made = make_run([Picture("a.jpg", replace(poses, posed_by=np.array(["test-pose", 'second "pose"'])))])
    made.provenance = replace(
        made.provenance,
        second_pose_model=ModelRecord('second "pose"', "cd" * 32, "second.pth", (288, 384)),
        calibration=FileRecord("probabilities.json", "ef" * 32),
        derived_from=RunRecord("earlier", "45" * 32, "67" * 32, "0.1", ("inputs", "boxes")),
    )
    run_info.update(made.path, provenance=made.provenance)
    return made.set(second_pose="second", cascade=True).commit().open()


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """The endpoint of an S3 server on loopback that lives as long as the tests."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(object_store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty bucket, which this process and its children can reach."""
    import urllib.request

    from annotator.store import objects, storage

    for name, value in {
        "AWS_ENDPOINT_URL": object_store,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "AKIATESTKEYID",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-tests",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    urllib.request.urlopen(urllib.request.Request(f"{object_store}/{name}", method="PUT")).close()
    objects.client.cache_clear()
    storage._storage.cache_clear()
    yield f"s3://{name}"
    objects.client.cache_clear()


@pytest.fixture
def touch(tmp_path) -> Callable[..., Path]:
    """touch("a/1.jpg", ...) makes files below tmp_path and returns it; a plan opens no picture."""

    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make
