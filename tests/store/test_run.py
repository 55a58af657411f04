"""run.json, the reader and the figures of a run."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from annotator.errors import ItemError, RunFailed, UserError
from annotator.skeletons import COCO_17
from annotator.store import run_info
from annotator.store.reader import Run
from annotator.store.records import record_name
from annotator.store.schema import IMAGES, FileRecord, ModelRecord
from annotator.store.status import summarise


@pytest.fixture
def run(make_run, picture, people):
    """Five items in shards of two."""
    pictures = [picture(f"{i}.jpg", people([[10, 20, 30, 60]] * i)) for i in range(5)]
    pictures[3] = picture("3.jpg", ItemError("read", "missing", "not there"), size=None)
    return make_run(pictures)


def test_run_info_survives_the_disk(run) -> None:
    info = run_info.read(run.path)
    assert info == run_info.RunInfo.from_json(info.to_json())
    assert info.run_config.shard_size == 2 and info.provenance == run.provenance
    boxes = replace(info, provenance=replace(info.provenance, boxes=FileRecord("b.json", "0" * 64)))
    assert run_info.RunInfo.from_json(boxes.to_json()) == boxes


def test_of_two_starts_one_writes_run_json(tmp_path, run) -> None:
    info = run_info.read(run.path)
    with ThreadPoolExecutor(8) as pool:
        wrote = list(pool.map(lambda _: run_info.create(tmp_path / "new", info), range(16)))
    assert sum(wrote) == 1
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["run.json"]


def test_updates_are_whole(run) -> None:
    info = run_info.update(run.path, state="finished", finished_at="2026-01-01T00:00:00.000+00:00")
    assert run_info.read(run.path) == info and info.state == "finished"
    assert not list(run.path.glob(".run.json*"))


def test_what_is_no_run_is_said(tmp_path, run) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        Run(tmp_path / "nothing")
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(UserError, match="not a run folder"):
        Run(file)
    info = run_info.read(run.path)
    with pytest.raises(UserError, match="is a file"):
        run_info.create(file, info)
    path = run.path / run_info.FILE_NAME
    path.write_bytes(info.to_json().replace(b'"schema_version": "1.', b'"schema_version": "7.'))
    with pytest.raises(UserError, match=r"schema version 7\.\d"):
        Run(run.path)
    path.write_text('{"schema_version": "1.0"}')
    with pytest.raises(RunFailed, match="damaged"):
        Run(run.path)
    for damage in (
        {"items": "many"},
        {"shards": None},
        {"config": "x"},
        {"config": {}},
        {"started_at": None},
    ):
        path.write_text(json.dumps(json.loads(info.to_json()) | damage))
        with pytest.raises(RunFailed, match=r"damaged .*is .*put a copy of it"):
            Run(run.path)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="Is a directory; put a copy of it"):
        Run(run.path)
    with pytest.raises(UserError, match="is a folder; put a copy of it"):
        run_info.create(run.path, info)
    path.rmdir()
    run.commit()
    with pytest.raises(UserError, match=r"has no run\.json; if it was lost, put a copy of it"):
        Run(run.path)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"max_people": 200', '"max_people": 100'),
        lambda text: text.replace('"max_people"', '"maw_people"'),
        lambda text: text.replace('"batch_people": 32', '"batch_people": "x"'),
    ],
)
def test_settings_that_are_not_those_of_their_hash_are_not_taken(run, change) -> None:
    """A bit that fell in one would go into the rows of a retry unseen."""
    path = run.path / run_info.FILE_NAME
    path.write_text(change(path.read_text()))
    with pytest.raises(RunFailed, match=r"settings in run\.json are damaged .*put a copy of it"):
        run_info.read(run.path).run_config  # noqa: B018


def test_differences_are_named(run) -> None:
    old = run_info.read(run.path)
    assert (
        run_info.differences(old, replace(old, config={**old.config, "workers": 7, "batch_people": 3})) == []
    )
    other = replace(
        old,
        items=9,
        config={**old.config, "flip": True},
        provenance=replace(
            old.provenance,
            pose_model=ModelRecord("test-pose", "ef" * 32),
            detector=ModelRecord("d", "12" * 32),
            plan_sha256="0" * 64,
        ),
    )
    assert run_info.differences(old, other) == [
        "flip: None before, True now",
        "pose_model weights: sha256 abababababab before, efefefefefef now",
        "detector: none before, d now",
        "inputs: 5 planned before, 9 now, or other ones",
    ]
    # The same files by another path.
    moved = replace(old, config={**old.config, "boxes": "/b.json", "calibration": "/c.json"})
    assert run_info.differences(old, moved) == []
    edited = replace(old.provenance, pose_model=replace(old.provenance.pose_model, config_sha256="34" * 32))
    assert run_info.differences(old, replace(old, provenance=edited)) == [
        "pose_model config: the file says something else than before"
    ]


def test_rows_come_in_plan_order_from_committed_shards_only(run) -> None:
    run.commit(2, 0)
    reader = run.open()
    assert list(reader.committed()) == [0, 2]
    assert [b["index"].to_pylist() for b in reader.images()] == [[0, 1], [4]]
    assert next(reader.images()).schema.equals(IMAGES, check_metadata=False)
    assert [b["image_id"].to_pylist() for b in reader.instances()] == [[1001], [1004] * 4]
    batch = next(reader.instances(["score", "id"]))
    assert batch.schema.names == ["score", "id"]
    assert reader.skeleton == COCO_17 and len(reader.plan) == 5


def test_a_reader_sees_later_commits(run) -> None:
    reader = run.open()
    assert list(reader.images()) == []
    with pytest.raises(UserError, match="nothing was committed"):
        _ = reader.skeleton
    run.commit()
    assert sum(batch.num_rows for batch in reader.images()) == 5


def test_damage_is_named(run) -> None:
    run.commit()
    reader = run.open()
    (run.path / reader.committed()[1].files["instances"].name).write_bytes(b"PAR1")
    with pytest.raises(RunFailed, match="annotator verify"):
        list(reader.instances())
    (run.path / reader.committed()[1].files["instances"].name).write_bytes(
        (run.path / reader.committed()[2].files["instances"].name).read_bytes()
    )
    with pytest.raises(RunFailed, match=r"bytes; .* were committed"):
        list(reader.instances())
    (run.path / record_name(0)).write_text("{")
    with pytest.raises(RunFailed, match="commit record of shard 0 is damaged"):
        reader.committed()


def test_figures_of_a_live_and_of_a_finished_run(run) -> None:
    run.commit(1)
    summary = summarise(run.path)
    assert (summary.state, summary.complete, summary.shards_done, summary.shards) == ("running", False, 1, 3)
    assert (summary.images, summary.ok, summary.error, summary.people) == (2, 1, 1, 2)
    assert summary.errors == {"read/missing": 1}
    run.commit(0, 2)
    summary = summarise(run.path)
    assert (summary.state, summary.complete) == ("finished", True)
    assert (summary.images, summary.ok, summary.empty, summary.error, summary.people) == (5, 3, 1, 1, 7)
    assert json.loads(json.dumps(summary.to_dict()))["last_commit_at"] == summary.last_commit_at


def test_a_damaged_record_counts_as_not_done(run) -> None:
    run.commit()
    run_info.update(run.path, state="finished")
    (run.path / record_name(0)).write_text("")
    summary = summarise(run.path)
    assert summary.damaged == (0,) and summary.shards_done == 2 and summary.state == "running"


def test_a_run_goes_on_under_a_version_that_knows_more_settings(run) -> None:
    """What did not exist when it was started had to be as it is by default; anything else differs."""
    now = run_info.read(run.path)
    older = replace(now, config={name: now.config[name] for name in now.config if name != "nms"})
    assert run_info.differences(older, now) == []
    dropping = replace(now, config={**now.config, "nms": "drop"})
    assert run_info.differences(older, dropping) == ["nms: 'flag' before, 'drop' now"]
