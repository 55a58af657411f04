"""The plan of a run on disk: what the file is, and what is said where it is missing or damaged."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import annotator.store.plan as plan_module
from annotator.errors import UserError
from annotator.sources.plan import build_plan
from annotator.store.local import LocalStorage
from annotator.store.plan import read_plan, write_plan
from annotator.store.schema import PLAN


def test_the_file_is_of_the_published_schema(touch):
    root = touch(*(f"{number}.jpg" for number in range(10)))
    made = build_plan([str(root)], shard_size=3)
    write_plan(made, root / "run")
    files = list((root / "run/plan").iterdir())
    assert [file.name for file in files] == ["items.parquet"]
    table = pq.read_table(files[0])
    assert table.schema.remove_metadata().equals(PLAN)
    assert json.loads(table.schema.metadata[b"pose"])["table"] == "plan"
    assert table["index"].to_pylist() == list(range(10))
    assert table["shard"].to_pylist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]


def test_row_groups_hold_whole_shards(touch, monkeypatch):
    monkeypatch.setattr(plan_module, "HASH_ROWS", 8)
    root = touch(*(f"{number:02d}.jpg" for number in range(20)))
    write_plan(build_plan([str(root)], shard_size=3), root / "run")
    file = pq.ParquetFile(root / "run/plan/items.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [6, 6, 6, 2]
    assert [item.file_name for item in read_plan(root / "run").items(6)] == ["18.jpg", "19.jpg"]


def test_shards_out_of_range(touch):
    made = build_plan([str(touch("1.jpg"))], shard_size=5)
    for shard in (-1, 1):
        with pytest.raises(IndexError):
            made.items(shard)


def test_a_run_without_a_plan_or_with_a_damaged_one(tmp_path, touch):
    with pytest.raises(UserError, match="has no plan"):
        read_plan(tmp_path)
    root = touch("photos/1.jpg")
    write_plan(build_plan([str(root / "photos")], shard_size=1), tmp_path)
    path = tmp_path / "plan/items.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="is damaged"):
        read_plan(tmp_path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(UserError, match="is damaged"):
        read_plan(tmp_path)
    path.write_bytes(whole)
    group = pq.ParquetFile(path).metadata.row_group(0)
    uris = group.column(PLAN.get_field_index("uri"))
    damaged = bytearray(whole)
    damaged[uris.data_page_offset + uris.total_compressed_size - 4] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(UserError, match="is damaged"):
        read_plan(tmp_path).items(0)


def test_a_plan_that_cannot_be_read_now_is_not_called_damaged(tmp_path, touch, monkeypatch):
    """Another attempt, or another machine, may well read it."""
    write_plan(build_plan([str(touch("photos/1.jpg") / "photos")], shard_size=1), tmp_path)
    read = read_plan(tmp_path)

    def stale(*_):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "open", stale)
        for attempt in (lambda: read.items(0), lambda: read_plan(tmp_path)):
            with pytest.raises(OSError, match=r"Stale file handle: .*items\.parquet"):
                attempt()
    assert len(read.items(0)) == 1


def test_a_plan_that_cannot_be_written_leaves_nothing(touch, monkeypatch):
    root = touch("photos/1.jpg", "file")
    made = build_plan([str(root / "photos")], shard_size=1)
    with pytest.raises(UserError, match=r"cannot write the plan into .*file"):
        write_plan(made, root / "file")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        write_plan(made, root / "run")
    assert not list(Path(root / "run/plan").iterdir())


@pytest.mark.parametrize(
    "about",
    [
        b"null",
        b"{}",
        b'{"shard_size": 0, "sha256": "x"}',
        b'{"shard_size": "3", "sha256": "x"}',
        b'{"shard_size": 3, "sha256": "x", "starts": ["a"]}',
        b'{"shard_sjze": 3, "sha256": "x"}',
    ],
)
def test_a_plan_that_says_nothing_of_its_shards_is_damaged(tmp_path, touch, about):
    write_plan(build_plan([str(touch("1.jpg"))], shard_size=3), tmp_path)
    path = tmp_path / "plan/items.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"plan": about}), path)
    with pytest.raises(UserError, match=r"does not say what its shards are.* writes it anew"):
        read_plan(tmp_path)


def test_a_plan_of_other_columns_is_damaged(tmp_path, touch):
    write_plan(build_plan([str(touch("1.jpg"))], shard_size=3), tmp_path)
    path = tmp_path / "plan/items.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["index"]), path)
    with pytest.raises(UserError, match=r"is damaged .its columns are not those of a plan"):
        read_plan(tmp_path)


def test_a_plan_is_proved_by_its_hash(tmp_path, touch):
    """Parquet's checksums are of pages alone: a bit that falls beside them may move the shards."""
    root = touch("photos/1.jpg", "photos/2.jpg", "photos/3.jpg")
    write_plan(build_plan([str(root / "photos")], shard_size=3), tmp_path)
    read_plan(tmp_path).prove()
    path = tmp_path / "plan/items.parquet"
    table = pq.read_table(path)
    words = table.schema.metadata[b"plan"].replace(b'"shard_size": 3', b'"shard_size": 2')
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"plan": words}), path)
    with pytest.raises(UserError, match=r"not those of its sha256; .* writes it anew"):
        read_plan(tmp_path).prove()
