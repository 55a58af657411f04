"""verify names each error that is planted, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotator.errors import ItemError, RunFailed, UserError
from annotator.privacy.forget import forget
from annotator.store import run_info
from annotator.store.commit import ShardWriter
from annotator.store.leftovers import sweep
from annotator.store.records import CommitRecord, FileEntry, record_name, standing_record
from annotator.store.schema import PLAN
from annotator.store.verify import verify
from annotator.store.verify_report import EXAMPLES


@pytest.fixture
def run(make_run, picture, people):
    """Three shards of two items: people, an empty image and an error row among them; all committed."""
    boxes = [[10, 20, 30, 60], [100, 20, 30, 60]]
    pictures = [picture(f"{i}.jpg", people(boxes)) for i in range(6)]
    pictures[1] = picture("1.jpg")
    pictures[4] = picture("4.jpg", ItemError("decode", "truncated", "ends early"), size=None)
    return make_run(pictures).commit()


def kinds(run_dir: Path) -> dict[str, int]:
    return dict(verify(run_dir).counts)


def data_file(run_dir: Path, table: str, shard: int) -> Path:
    return run_dir / standing_record(run_dir, shard).files[table].name


def rewrite(run_dir: Path, table: str, shard: int, change) -> None:
    """Change a committed table, with a commit record that says so: an error that no checksum shows."""
    import hashlib

    path = data_file(run_dir, table, shard)
    changed = change(pq.read_table(path))
    pq.write_table(changed, path)
    data = path.read_bytes()
    record = standing_record(run_dir, shard)
    entry = FileEntry(record.files[table].name, changed.num_rows, len(data), hashlib.sha256(data).hexdigest())
    record = replace(record, files={**record.files, table: entry})
    (run_dir / record_name(shard, record.generation)).write_bytes(record.to_json())


def with_values(table: pa.Table, column: str, values: list) -> pa.Table:
    place = table.schema.get_field_index(column)
    return table.set_column(
        place, table.schema.field(column), pa.array(values, table.schema.field(column).type)
    )


def test_a_whole_run_is_proved(run) -> None:
    report = verify(run.path)
    assert report.ok and report.problems == [] and report.leftovers == 0
    assert (report.planned, report.images, report.instances) == (6, 6, 8)
    assert (report.shards, report.shards_done, report.missing, report.doubled) == (3, 3, 0, 0)
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True


def test_a_missing_shard(run) -> None:
    (run.path / record_name(1)).unlink()
    report = verify(run.path)
    assert not report.ok and report.missing == 2 and report.counts == {"missing": 1}
    assert report.problems[0].where == "shard 1" and "2 of its 2 items" in report.problems[0].message
    assert report.leftovers == 2


def test_a_doubled_image(run) -> None:
    rewrite(run.path, "images", 1, lambda t: pa.concat_tables([t, t.slice(0, 1)]))
    report = verify(run.path)
    assert report.doubled == 1 and report.counts["doubled"] == 1
    assert "item 2 has 2 rows" in next(p.message for p in report.problems if p.kind == "doubled")


def test_a_lost_image(run) -> None:
    rewrite(run.path, "images", 1, lambda t: t.slice(1))
    report = verify(run.path)
    assert report.missing == 1 and report.counts == {"missing": 1, "orphan": 1}


def test_an_image_that_the_plan_does_not_know(run) -> None:
    rewrite(run.path, "images", 1, lambda t: with_values(t, "index", [2, 77]))
    report = verify(run.path)
    assert report.missing == 1 and report.counts["foreign"] == 1


def test_images_that_come_back_to_a_shard_of_which_all_was_forgotten(run) -> None:
    before = pq.read_table(data_file(run.path, "images", 1))
    forget(str(run.path), ["2.jpg", "3.jpg"])
    rewrite(run.path, "images", 1, lambda t: before)
    assert verify(run.path).counts["foreign"] == 2


def test_an_image_of_another_shard(run) -> None:
    other = pq.read_table(data_file(run.path, "images", 0)).slice(1)
    rewrite(run.path, "images", 1, lambda t: pa.concat_tables([other, t]))
    assert kinds(run.path) == {"foreign": 1, "mismatch": 1}


def test_another_image_id(run) -> None:
    rewrite(run.path, "images", 1, lambda t: with_values(t, "image_id", [1002, 5]))
    assert kinds(run.path) == {"mismatch": 2, "orphan": 1}


def test_a_foreign_instance(run) -> None:
    rewrite(run.path, "instances", 0, lambda t: with_values(t, "image_id", [1000, 1004]))
    report = verify(run.path)
    assert report.counts == {"orphan": 1, "mismatch": 1}
    assert "image 1004" in next(p.message for p in report.problems if p.kind == "orphan")


def test_a_doubled_and_a_lost_instance(run) -> None:
    rewrite(run.path, "instances", 0, lambda t: pa.concat_tables([t, t.slice(0, 1)]))
    rewrite(run.path, "instances", 1, lambda t: t.slice(0, 3))
    assert kinds(run.path) == {"doubled": 1, "mismatch": 2}


def test_an_instance_id_that_is_not_its_own(run) -> None:
    rewrite(run.path, "instances", 0, lambda t: with_values(t, "id", [1, 99]))
    assert kinds(run.path) == {"mismatch": 1}


def test_people_in_an_error_row(run) -> None:
    rewrite(run.path, "images", 0, lambda t: with_values(t, "status", ["error", "fine"]))
    assert kinds(run.path) == {"mismatch": 2}


@pytest.mark.parametrize("table", ["images", "instances"])
def test_a_truncated_file(run, table: str) -> None:
    path = data_file(run.path, table, 1)
    path.write_bytes(path.read_bytes()[:-100])
    report = verify(run.path)
    assert report.counts["unreadable"] == 1 and report.counts["damaged"] == 1
    assert report.problems[0].where == path.relative_to(run.path).as_posix()
    assert report.missing == (2 if table == "images" else 0)


def test_a_flipped_bit(run) -> None:
    path = data_file(run.path, "instances", 1)
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(bytes(data))
    assert verify(run.path).counts["damaged"] >= 1


def test_a_lost_file(run) -> None:
    data_file(run.path, "images", 2).unlink()
    report = verify(run.path)
    assert report.counts == {"lost-file": 1, "missing": 1} and report.missing == 2
    assert "`annotator retry` makes the shard anew" in report.problems[0].message


def test_a_file_in_the_place_of_a_folder(run) -> None:
    (run.path / "images").rename(run.path / "elsewhere")
    (run.path / "images").touch()
    assert kinds(run.path) == {"lost-file": 3, "missing": 3}


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"PAR1")], ids=["lost", "cut"])
def test_the_last_good_rows_are_not_called_something_to_remove(run, damage) -> None:
    """Rows that a retry replaced, while those of the retry are lost."""
    forget(str(run.path), ["5.jpg"])
    before = data_file(run.path, "instances", 0)
    ShardWriter(run.path, 0, 1).commit(*run.tables(0), {})
    damage(data_file(run.path, "instances", 0))
    report = verify(run.path)
    about = {problem.where: problem.message for problem in report.problems if problem.kind == "leftover"}
    assert len(about) == 2 and "annotator retry" in about[f"instances/{before.name}"]
    assert not any("remove" in message or "swept" in message for message in about.values())
    (remains,) = [problem.message for problem in report.problems if problem.kind == "remains"]
    assert remains.startswith("2 leftover files") and "annotator retry" in remains
    (run.path / "images" / f".s000001-{'0' * 16}.parquet.tmp").write_bytes(b"x")
    remains = [problem.message for problem in verify(run.path).problems if problem.kind == "remains"]
    assert [text[0] for text in remains] == ["2", "1"] and "begin with a dot" in remains[1]


def test_a_table_of_something_else(run) -> None:
    rewrite(run.path, "instances", 1, lambda t: t.drop_columns(["area"]))
    assert kinds(run.path) == {"damaged": 1}
    assert "move it away, and `annotator retry`" in verify(run.path).problems[0].message
    rewrite(run.path, "images", 1, lambda t: t.replace_schema_metadata(None))
    assert kinds(run.path)["unreadable"] == 1


@pytest.mark.parametrize("content", [b"", b'{"shard": 1}', b"\xff\xfe"])
def test_a_corrupt_commit_record(run, content: bytes) -> None:
    (run.path / record_name(1)).write_bytes(content)
    report = verify(run.path)
    assert report.counts == {"corrupt-commit": 1, "missing": 1, "leftover": 2} and report.missing == 2


def test_a_shard_beyond_the_plan(run) -> None:
    record = json.loads((run.path / record_name(1)).read_text())
    record.pop("checksum")
    record["shard"] = 9
    files = {name: FileEntry(**entry) for name, entry in record.pop("files").items()}
    (run.path / record_name(9)).write_bytes(CommitRecord(**record, files=files).to_json())
    assert kinds(run.path) == {"foreign": 1}


@pytest.mark.parametrize(
    "name",
    ["images/copy.parquet", "instances/s000001.parquet", "commits/notes.txt", "plan/items (1).parquet"],
)
def test_a_stray_file(run, name: str) -> None:
    (run.path / name).write_bytes(b"x")
    report = verify(run.path)
    assert report.counts == {"stray": 1} and report.problems[0].where == name


def test_rows_of_a_shard_that_was_never_planned_are_no_attempt(run) -> None:
    """Who reads the folder would see them as well."""
    name = f"instances/s000003-{'0' * 16}.parquet"
    (run.path / name).write_bytes(data_file(run.path, "instances", 0).read_bytes())
    report = verify(run.path)
    assert report.counts == {"stray": 1} and report.problems[0].where == name


def test_leftovers_are_counted_and_only_visible_ones_are_wrong(run) -> None:
    (run.path / "images" / ".s000001-0123456789abcdef.parquet.tmp").write_bytes(b"x")
    report = verify(run.path)
    assert report.ok and report.leftovers == 1
    (run.path / "images" / "s000001-0123456789abcdef.parquet").write_bytes(b"x")
    report = verify(run.path)
    assert report.counts == {"leftover": 1} and report.leftovers == 2


def test_another_plan(run) -> None:
    info = run_info.read(run.path)
    (run.path / run_info.FILE_NAME).write_text(info.to_json().decode().replace(info.plan_sha256, "24" * 32))
    assert kinds(run.path) == {"plan": 1, "provenance": 6}


def test_rows_of_another_run_of_the_same_pictures(run) -> None:
    """Copied into this one with their record, they fit the plan and every checksum."""
    mine = run.provenance
    run.provenance = replace(mine, pose_model=replace(mine.pose_model, sha256="ba" * 32))
    assert ShardWriter(run.path, 1, 1).commit(*run.tables(1), {}).won
    sweep(run.path)
    assert kinds(run.path) == {"provenance": 2}
    assert "pose_model" in verify(run.path).problems[0].message


def test_a_plan_that_counts_wrong(run) -> None:
    path = next((run.path / "plan").glob("*.parquet"))
    table = pq.read_table(path)
    pq.write_table(with_values(table, "image_id", [1000, 1000, *range(1002, 1006)]), path)
    messages = [problem.message for problem in verify(run.path).problems if problem.kind == "plan"]
    assert len(messages) == 2 and "sha256" in messages[0] and "share an image_id" in messages[1]


@pytest.mark.parametrize("table", ["images", "instances"])
def test_a_file_of_another_table_is_named_by_whoever_reads_it(run, table: str) -> None:
    other = {"images": "instances", "instances": "images"}[table]
    rewrite(run.path, table, 0, lambda _: pq.read_table(data_file(run.path, other, 0)))
    problems = verify(run.path).problems
    assert {problem.kind for problem in problems} >= {"damaged"}
    assert "move it away, and `annotator retry`" in problems[0].message
    with pytest.raises(RunFailed, match=f"damaged .it is no {table} table"):
        list(getattr(run.open(), table)())


@pytest.mark.parametrize("column", ["uri", "file_name"])
def test_a_plan_of_which_any_part_is_damaged(run, column: str) -> None:
    """Its names are in no row's proof, and a run that goes on needs them."""
    path = next((run.path / "plan").glob("*.parquet"))
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(PLAN.get_field_index(column))
    data = bytearray(path.read_bytes())
    data[chunk.data_page_offset + chunk.total_compressed_size - 4] ^= 0xFF
    path.write_bytes(data)
    report = verify(run.path)
    assert report.counts == {"plan": 1} and "is damaged" in report.problems[0].message


def test_a_run_json_of_another_number_of_shards(run) -> None:
    run_info.update(run.path, shards=9)
    assert kinds(run.path) == {"plan": 1}


def test_settings_that_are_not_those_of_their_hash(run) -> None:
    path = run.path / run_info.FILE_NAME
    path.write_text(path.read_text().replace('"max_people": 200', '"max_people": 100'))
    assert kinds(run.path) == {"settings": 1}


def test_without_a_plan_nothing_can_be_proved(run) -> None:
    path = next((run.path / "plan").glob("*.parquet"))
    path.write_bytes(b"PAR1")
    with pytest.raises(UserError, match="plan"):
        verify(run.path)
    path.unlink()
    with pytest.raises(UserError, match=r"no plan.* writes it anew"):
        verify(run.path)


def test_a_damaged_run_json_hides_nothing_else(run) -> None:
    (run.path / run_info.FILE_NAME).write_text("{")
    (run.path / record_name(1)).unlink()
    assert kinds(run.path) == {"unreadable": 1, "missing": 1}


def test_a_report_of_many_problems_stays_small(make_run, picture) -> None:
    run = make_run([picture(f"{i}.jpg") for i in range(50)], shard_size=1)
    report = verify(run.path)
    assert report.counts == {"missing": 50} and len(report.problems) == EXAMPLES and report.missing == 50


def test_the_zombies_shard_is_proved_too(run) -> None:
    assert not ShardWriter(run.path, 0).commit(*run.tables(0), {}).won
    assert verify(run.path).ok
