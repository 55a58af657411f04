"""A retry's rows replace the old ones, whoever is late, and nobody who reads the folder sees both."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotator.config import settings_sha256
from annotator.errors import ItemError, RunFailed
from annotator.people import Poses
from annotator.skeletons import COCO_17
from annotator.sources.plan import build_plan
from annotator.store import run_info
from annotator.store.commit import ShardWriter
from annotator.store.generations import merge
from annotator.store.leftovers import DEAD_AFTER, generations_begun, sweep
from annotator.store.local import LocalStorage
from annotator.store.plan import write_plan
from annotator.store.reader import Run
from annotator.store.records import generations, record_name, standing_record
from annotator.store.recovery import repair
from annotator.store.results import stored_results
from annotator.store.rows import RowBuilder
from annotator.store.schema import ModelRecord, Provenance
from annotator.store.status import summarise
from annotator.store.storage import storage_at
from annotator.store.verify import verify
from annotator.store.visibility import ScoreThresholds

ITEMS = 6
BAD = {1, 4}


def poses(people: int, shift: float = 0.0) -> Poses:
    joints = len(COCO_17)
    return Poses(
        np.tile([1.0 + shift, 2, 8, 12], (people, 1)).reshape(-1, 4),
        np.full(people, 0.9, np.float32),
        np.full((people, joints, 2), 5, np.float32),
        np.full((people, joints), 0.8, np.float32),
        np.full(people, 0.7, np.float32),
    )


class Retried:
    """A run of one shard with two error rows."""

    def __init__(self, folder: Path) -> None:
        pictures = folder / "pictures"
        pictures.mkdir()
        for number in range(ITEMS):
            (pictures / f"{number}.png").touch()
        self.path = folder / "run"
        self.path.mkdir()
        plan = build_plan([str(pictures)], shard_size=100)
        self.items = plan.items(0)
        settings = {"inputs": [str(pictures)], "out": str(self.path)}
        self.provenance = Provenance(ModelRecord("m"), None, None, settings_sha256(settings), plan.sha256)
        info = run_info.RunInfo(settings, self.provenance, len(plan), 1)
        run_info.create(self.path, info)
        write_plan(plan, self.path)
        self.commit(self.tables(range(ITEMS), failing=BAD))

    def tables(self, items, failing=(), shift=0.0):
        rows = RowBuilder(COCO_17, ScoreThresholds(), self.provenance)
        for place in items:
            result = ItemError("read", "missing", "gone") if place in failing else poses(place % 3, shift)
            rows.add(self.items[place], None if place in failing else (32, 24), result)
        return rows.tables()

    def commit(self, tables, generation=0):
        return ShardWriter(self.path, 0, generation).commit(*tables, {})

    def retry(self, items=BAD, failing=(), shift=100.0):
        record = standing_record(self.path, 0)
        tables = merge(self.path, record, *self.tables(sorted(items), failing, shift))
        return self.commit(tables, record.generation + 1)

    def age(self):
        """As if nothing had been written for so long that any attempt is over."""
        for path in self.path.rglob("*"):
            stamp = path.stat().st_mtime - DEAD_AFTER - 60
            os.utime(path, (stamp, stamp))

    def visible(self, table):
        return pq.read_table(
            [str(path) for path in sorted((self.path / table).glob("*.parquet"))]
        ).to_pylist()


@pytest.fixture
def retried(tmp_path) -> Retried:
    return Retried(tmp_path)


def test_only_the_error_rows_are_made_anew(retried):
    before = {row["index"]: row for row in retried.visible("images")}
    people = {row["id"]: row for row in retried.visible("instances")}
    assert retried.retry().won
    sweep(retried.path)
    images = retried.visible("images")
    assert [row["index"] for row in images] == list(range(ITEMS))
    assert [row["status"] for row in images] == ["empty", "ok", "ok", "empty", "ok", "ok"]
    assert all(row == before[row["index"]] for row in images if row["index"] not in BAD)
    after = retried.visible("instances")
    assert [row["id"] for row in after] == sorted(row["id"] for row in after)
    assert all(row == people[row["id"]] for row in after if row["bbox"][0] == 1.0)
    assert {row["id"] >> 12 for row in after if row["bbox"][0] == 101.0} == BAD
    assert verify(retried.path).ok
    assert summarise(retried.path).error == 0


def test_no_generation_is_made_of_rows_that_are_not_what_was_committed(retried):
    """They would stand under a hash of their own from then on, and nothing could tell."""
    path = retried.path / standing_record(retried.path, 0).files["instances"].name
    whole = path.read_bytes()
    table = pq.read_table(path)
    area = table.schema.get_field_index("area")
    pq.write_table(table.set_column(area, table.schema.field(area), pa.array([7.0] * len(table))), path)
    with pytest.raises(RunFailed, match=r"content is not what was committed.*annotator verify"):
        retried.retry()
    path.write_bytes(whole)
    retried.provenance = replace(retried.provenance, pose_model=ModelRecord("m", "ef" * 32))
    with pytest.raises(RunFailed, match=r"are of another run .pose_model differ.; `annotator verify`"):
        retried.retry()


def test_until_the_sweep_verify_says_that_readers_of_the_folder_would_see_double(retried):
    retried.retry()
    report = verify(retried.path)
    assert not report.ok
    assert set(report.counts) == {"leftover"}
    assert len(list(Run(retried.path).images())) == 1
    sweep(retried.path)
    assert verify(retried.path).ok


def test_retries_follow_each_other(retried):
    retried.retry(failing={4})
    assert summarise(retried.path).errors == {"read/missing": 1}
    retried.retry(items={4})
    sweep(retried.path)
    assert summarise(retried.path).error == 0
    assert generations(retried.path) == {0: [0, 1, 2]}
    assert verify(retried.path).ok


@pytest.mark.parametrize("superseded", [0, 1])
@pytest.mark.parametrize("content", [b"", b"{", None])
def test_what_became_of_a_superseded_record_is_all_one(retried, superseded, content):
    retried.retry(failing={4})
    retried.retry(failing={4})
    sweep(retried.path)
    if content is None:
        (retried.path / record_name(0, superseded)).unlink()
    else:
        (retried.path / record_name(0, superseded)).write_bytes(content)
    assert verify(retried.path).ok and repair(retried.path) == {}
    run = Run(retried.path)
    assert len(run.rows("images", 0)) == ITEMS
    assert [stored.index for stored in stored_results(run, 0)] == list(range(ITEMS))
    assert retried.retry(items={4}).won
    assert standing_record(retried.path, 0).generation == 3


def test_a_reader_of_single_shards_lists_the_folder_once_and_sees_what_came_since(retried, monkeypatch):
    run, listed, names = Run(retried.path), [], LocalStorage.names

    def heard(self, folder):
        listed.append(folder)
        return names(self, folder)

    def errors(run):
        return run.rows("images", 0)["status"].to_pylist().count("error")

    monkeypatch.setattr(LocalStorage, "names", heard)
    assert errors(run) == errors(run) == len(BAD) and listed == ["commits"]
    retried.retry()
    listed.clear()
    assert errors(run) == 0 and listed == []
    # What was listed is put aside, and its predecessor stands again.
    later = Run(retried.path)
    assert errors(later) == 0
    (retried.path / record_name(0, 1)).unlink()
    assert errors(later) == len(BAD)


def test_a_damaged_record_is_named_by_whoever_reads_one_shard(retried):
    (retried.path / record_name(0)).write_bytes(b"{")
    with pytest.raises(RunFailed, match="the commit record of shard 0 is damaged"):
        Run(retried.path).rows("images", 0)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


DAMAGES = {
    "rows cut": (False, _cut),
    "record cut": (True, _cut),
    "record cut to its beginning": (True, lambda path: path.write_bytes(path.read_bytes()[:30])),
    "record empty": (True, lambda path: path.write_bytes(b"")),
    "record of zeros": (True, lambda path: path.write_bytes(bytes(path.stat().st_size))),
    "record lost": (True, Path.unlink),
}


@pytest.mark.parametrize("damaged", DAMAGES)
def test_a_shard_made_anew_after_its_retry_was_damaged_is_not_seen_double(retried, damaged):
    retried.retry()
    sweep(retried.path)
    rows = retried.path / standing_record(retried.path, 0).files["instances"].name
    of_record, damage = DAMAGES[damaged]
    damage(retried.path / record_name(0, 1) if of_record else rows)
    repair(retried.path)
    assert rows.exists()  # until there are others
    assert retried.commit(retried.tables(range(ITEMS)), generations_begun(storage_at(retried.path))[0]).won
    assert not verify(retried.path).ok
    # Of an attempt under way at the next retry.
    late = retried.path / "images" / f"s000000-g002-{'0' * 16}.parquet"
    late.write_bytes(b"PAR1")
    sweep(retried.path)
    (problem,) = verify(retried.path).problems
    assert problem.where.endswith(late.name) and "remove the file" in problem.message
    late.unlink()
    assert [row["index"] for row in retried.visible("images")] == list(range(ITEMS))
    report = verify(retried.path)
    assert report.ok and report.leftovers == 0


def test_of_two_retries_at_once_one_wins(retried):
    record = standing_record(retried.path, 0)
    first, second = (
        merge(retried.path, record, *retried.tables(sorted(BAD), shift=s)) for s in (100.0, 200.0)
    )
    assert retried.commit(first, 1).won
    assert not retried.commit(second, 1).won
    sweep(retried.path)
    assert {row["bbox"][0] for row in retried.visible("instances")} == {1.0, 101.0}
    assert verify(retried.path).ok


@pytest.mark.parametrize("swept", [False, True])
def test_a_zombie_of_the_old_generation_comes_too_late(retried, swept):
    retried.retry()
    if swept:
        sweep(retried.path)
    outcome = retried.commit(retried.tables(range(ITEMS), failing=BAD))
    assert not outcome.won
    assert outcome.record.generation == 1
    sweep(retried.path)
    assert verify(retried.path).ok


def test_a_zombie_whose_record_is_damaged_comes_too_late_as_well(retried):
    retried.retry(failing={4})
    retried.retry(items={4})
    sweep(retried.path)
    for generation in (0, 1):
        (retried.path / record_name(0, generation)).write_bytes(b"{")
    for _ in range(2):
        outcome = retried.commit(retried.tables(range(ITEMS), failing=BAD))
        assert not outcome.won
        assert outcome.record.generation == 2
    assert verify(retried.path).ok


@pytest.mark.parametrize("behind", [0, DEAD_AFTER / 2])
def test_a_sweep_beside_a_retry_leaves_its_files_alone(retried, monkeypatch, behind):
    """Though the clock that stamps them be behind."""
    publish = ShardWriter._publish

    def swept(self, record):
        for path in retried.path.rglob("*-g001-*.parquet"):
            stamp = path.stat().st_mtime - behind
            os.utime(path, (stamp, stamp))
        assert sweep(retried.path) == []
        return publish(self, record)

    monkeypatch.setattr(ShardWriter, "_publish", swept)
    assert retried.retry().won
    sweep(retried.path)
    assert verify(retried.path).ok


@pytest.mark.parametrize("damage", [Path.unlink, _cut], ids=["lost", "cut"])
@pytest.mark.parametrize("table", ["images", "instances"])
def test_a_sweep_keeps_the_old_rows_while_those_that_stand_are_lost(retried, table, damage):
    retried.retry()
    damage(retried.path / standing_record(retried.path, 0).files[table].name)
    assert sweep(retried.path) == []
    assert set(repair(retried.path)) == {0}
    assert summarise(retried.path).error == len(BAD)
    retried.retry()
    sweep(retried.path)
    assert verify(retried.path).ok


def test_a_damaged_generation_falls_back_to_what_is_whole(retried):
    retried.retry()
    (retried.path / record_name(0, 1)).write_bytes(b"{")
    assert set(repair(retried.path)) == {0}
    assert summarise(retried.path).error == len(BAD)
    retried.retry()
    sweep(retried.path)
    assert verify(retried.path).ok


def test_a_damaged_generation_without_the_old_rows_makes_the_shard_undone(retried):
    retried.retry()
    sweep(retried.path)
    (retried.path / record_name(0, 1)).write_bytes(b"{")
    assert set(repair(retried.path)) == {0}
    assert summarise(retried.path).shards_done == 0
    retried.age()
    assert retried.commit(retried.tables(range(ITEMS))).won
    sweep(retried.path)
    assert verify(retried.path).ok
