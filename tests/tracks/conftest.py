"""Runs of made-up films: people are boxes on given paths, and no model or video file is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from annotator.config import RunConfig
from annotator.errors import ItemError
from annotator.items import Item
from annotator.people import Poses
from annotator.skeletons import COCO_17
from annotator.store import run_info
from annotator.store.commit import ShardWriter
from annotator.store.plan import Plan, TableRows, hash_rows, write_plan
from annotator.store.reader import Run
from annotator.store.rows import RowBuilder
from annotator.store.schema import PLAN, ModelRecord, Provenance
from annotator.store.visibility import ScoreThresholds

FPS = 10
Frames = list[Poses | ItemError]


def walkers(
    frames: int, paths: list[tuple[float, float, float]], missing: frozenset[tuple[int, int]] = frozenset()
) -> Frames:
    """People 60 x 160 who walk at constant speed; paths of (x at frame 0, y, pixels a frame).

    The joints of each person are arranged in another way, so that they can be told apart where boxes cannot.

    Args:
        missing: (frame, person) that was not detected.
    """
    found: Frames = []
    for frame in range(frames):
        here = [n for n in range(len(paths)) if (frame, n) not in missing]
        boxes = np.array([[paths[n][0] + paths[n][2] * frame, paths[n][1], 60, 160] for n in here], float)
        boxes = boxes.reshape(-1, 4)
        places = [np.random.default_rng(n).uniform(0, 1, (17, 2)) for n in here]
        keypoints = [box[:2] + place * box[2:] for box, place in zip(boxes, places, strict=True)]
        found.append(
            Poses(
                bboxes=boxes,
                bbox_scores=np.full(len(here), 0.8, np.float32),
                keypoints=np.array(keypoints, np.float32).reshape(-1, 17, 2),
                keypoint_scores=np.full((len(here), 17), 0.9, np.float32),
                scores=np.full(len(here), 0.7, np.float32),
            )
        )
    return found


@dataclass
class FilmRun:
    """A run of films whose shards are committed without models."""

    path: Path
    items: list[Item]
    people: Frames
    provenance: Provenance

    @property
    def shards(self) -> int:
        return self.items[-1].shard + 1

    def tables(self, shard: int) -> tuple[pa.Table, pa.Table]:
        rows = RowBuilder(COCO_17, ScoreThresholds(), self.provenance)
        for item, people in zip(self.items, self.people, strict=True):
            if item.shard == shard:
                rows.add(item, (640, 480), people)
        return rows.tables()

    def commit(self, *shards: int, generation: int = 0) -> FilmRun:
        """Commit these shards, or all."""
        for shard in shards or range(self.shards):
            assert ShardWriter(self.path, shard, generation).commit(*self.tables(shard), {}).won
        return self

    def open(self) -> Run:
        return Run(self.path)

    def rows(self, table: str = "instances") -> pa.Table:
        """All committed rows."""
        run = self.open()
        return pa.concat_tables([run.rows_of(record, table) for record in run.committed().values()])

    def names(self) -> dict[int, int | None]:
        """Track of each instance."""
        rows = self.rows()
        return dict(zip(rows["id"].to_pylist(), rows["track_id"].to_pylist(), strict=True))


@pytest.fixture(name="walkers")
def _walkers() -> Callable[..., Frames]:
    return walkers


@pytest.fixture
def film_run(tmp_path: Path) -> Callable[..., FilmRun]:
    """`film_run(films, shard_size, name, track, every)`: films one after the other in shards of equal size.

    Each shows `FPS` frames a second, with `every` one film frame in so many.

    An error in place of a film's frames: a video that could not be indexed.
    """

    def make(
        films: list[Frames | ItemError],
        shard_size: int = 10,
        name: str = "run",
        track: bool = True,
        every: int = 1,
    ) -> FilmRun:
        path = tmp_path / name
        items: list[Item] = []
        for number, film in enumerate(films):
            uri = f"/data/{number}.mp4"
            if isinstance(film, ItemError):
                index = len(items)
                items.append(
                    Item(index, 1000 + index, uri, f"{number}.mp4", index // shard_size, video_uri=uri)
                )
                continue
            for moment in range(len(film)):
                frame = moment * every
                index = len(items)
                items.append(
                    Item(
                        index=index,
                        image_id=1000 + index,
                        uri=f"{uri}#{frame:08d}",
                        file_name=f"{number}.mp4#{frame:08d}",
                        shard=index // shard_size,
                        video_uri=uri,
                        frame_index=frame,
                        pts=frame,
                        time=moment / FPS,
                        keyframe_pts=0,
                    )
                )
        columns = {field.name: [getattr(item, field.name, None) for item in items] for field in PLAN}
        table = pa.table([pa.array(columns[field.name], field.type) for field in PLAN], schema=PLAN)
        starts = [*range(0, len(items), shard_size), len(items)]
        rows = TableRows(table)
        sha256 = hash_rows(rows, shard_size, starts)
        write_plan(Plan(rows, shard_size=shard_size, sha256=sha256, starts=starts), path)
        config = RunConfig(inputs=("/data",), out=str(path), shard_size=shard_size, track=track)
        model = ModelRecord("test-pose", "ab" * 32, "test-pose.pth", (192, 256))
        provenance = Provenance(model, None, None, config.sha256(), sha256)
        shards = items[-1].shard + 1
        run_info.create(
            path, run_info.RunInfo(config.model_dump(mode="json"), provenance, len(items), shards)
        )
        people = [one for film in films for one in ([film] if isinstance(film, ItemError) else film)]
        return FilmRun(path, items, people, provenance)

    return make
