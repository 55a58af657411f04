"""The published contract: the code, the JSON Schemas and the golden files say the same."""

from __future__ import annotations

import json

import jsonschema
import pyarrow.parquet as pq
import pytest

from annotator.errors import RunFailed
from annotator.runtime.scheduling.blame import Cause, Death, Ledger
from annotator.skeletons import COCO_17
from annotator.store.records import record_name
from annotator.store.schema import (
    CONTRACT,
    SCHEMAS,
    completed,
    follows,
    instance_ids,
    metadata,
    parse_metadata,
)
from schemas.pose.v1.make_golden import golden_tables

GOLDEN = {"images": "image", "instances": "instance", "reviews": "review"}
OLD = [("1.0", "images"), ("1.0", "instances"), *(("1.1", table) for table in GOLDEN)]


def json_schema(name: str) -> dict:
    schema = json.loads((CONTRACT / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


@pytest.mark.parametrize("table", GOLDEN)
def test_golden_file_is_read_and_made_again(table: str) -> None:
    golden = pq.read_table(str(CONTRACT / "golden" / f"{table}.parquet"))
    made = golden_tables()[table]
    assert golden.schema.equals(SCHEMAS[table], check_metadata=False)
    assert golden.equals(made)
    assert json.loads(golden.schema.metadata[b"pose"]) == json.loads(made.schema.metadata[b"pose"])


@pytest.mark.parametrize(("version", "table"), OLD)
def test_files_of_earlier_versions_are_read_with_null_for_what_came_later(version: str, table: str) -> None:
    old = pq.read_table(str(CONTRACT / "golden" / version / f"{table}.parquet"))
    assert parse_metadata(old.schema, table)["version"] == version
    assert follows(old.schema, table) and follows(SCHEMAS[table], table)
    new = completed(old, table)
    assert new.schema.equals(SCHEMAS[table], check_metadata=False)
    assert new.select(old.column_names).equals(old)
    assert all(new[name].null_count == new.num_rows for name in set(new.column_names) - set(old.column_names))
    assert not follows(old.drop_columns(["image_id"]).schema, table)
    assert not follows(old.append_column("extra", old["image_id"]).schema, table)


@pytest.mark.parametrize(("table", "schema"), GOLDEN.items())
def test_golden_rows_follow_the_json_schema(table: str, schema: str) -> None:
    rows = pq.read_table(str(CONTRACT / "golden" / f"{table}.parquet")).to_pylist()
    assert len(rows) >= 3
    for row in rows:
        jsonschema.validate(row, json_schema(schema))


@pytest.mark.parametrize(("table", "schema"), [*GOLDEN.items(), ("tracks", "track")])
def test_json_schema_names_the_arrow_columns(table: str, schema: str) -> None:
    document = json_schema(schema)
    assert list(document["properties"]) == SCHEMAS[table].names
    for field in SCHEMAS[table]:
        kinds = document["properties"][field.name].get("type", "")
        assert field.nullable == ("null" in kinds), field.name


@pytest.mark.parametrize(
    "change",
    [
        {"status": "fine"},
        {"num_instances": 0},
        {"error_kind": "truncated"},
        {"width": None},
        {"index": -1},
        {"confidence": 0.5},
    ],
)
def test_json_schema_refuses_a_wrong_image(change: dict) -> None:
    row = golden_tables()["images"].to_pylist()[0]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**row, **change}, json_schema("image"))


@pytest.mark.parametrize(
    ("row", "change"),
    [(0, {"decision": "fine"}), (0, {"bbox": [1, 2, 3, 4]}), (3, {"added_at": None}), (3, {"bbox": [1, 2]})],
)
def test_json_schema_refuses_a_wrong_review(row: int, change: dict) -> None:
    wrong = golden_tables()["reviews"].to_pylist()[row] | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, json_schema("review"))


@pytest.mark.parametrize("table", GOLDEN)
def test_metadata_follows_its_schema(table: str) -> None:
    document = parse_metadata(golden_tables()[table].schema, table)
    jsonschema.validate(document, json_schema("metadata"))
    assert document["skeleton"] == COCO_17.to_dict()
    for lost in ("skeleton", "visibility", "pose_model", "plan_sha256"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({k: v for k, v in document.items() if k != lost}, json_schema("metadata"))


def test_metadata_of_a_plan_needs_no_model() -> None:
    jsonschema.validate(json.loads(metadata("plan")[b"pose"]), json_schema("metadata"))
    with pytest.raises(ValueError, match="skeleton"):
        metadata("images")


def test_commit_record_follows_its_schema(make_run, picture) -> None:
    run = make_run([picture("a.jpg")]).commit()
    document = json.loads((run.path / record_name(0)).read_text())
    jsonschema.validate(document, json_schema("commit"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "attempt": "mine"}, json_schema("commit"))


def test_files_of_another_major_version_are_refused() -> None:
    schema = SCHEMAS["images"]
    with pytest.raises(RunFailed, match="no readable `pose` metadata"):
        parse_metadata(schema, "x.parquet")
    with pytest.raises(RunFailed, match=r"x\.parquet is of schema version 2\.0"):
        parse_metadata(schema.with_metadata({"pose": '{"version": "2.0"}'}), "x.parquet")
    assert parse_metadata(schema.with_metadata({"pose": '{"version": "1.7"}'}), "x")["version"] == "1.7"


def test_the_contract_names_every_stage_in_which_an_input_can_fail() -> None:
    [column] = (
        field
        for field in json.loads((CONTRACT / "arrow.json").read_text())["tables"]["images"]
        if field["name"] == "error_stage"
    )
    assert column["description"] == json_schema("image")["properties"]["error_stage"]["description"]
    condemned = Ledger(unexplained=1)
    condemned.blame(Death(Cause.KILLED, ""), {0: [1]}, alone=True)
    for stage in ("read", "decode", "detect", "pose", condemned.care(0).condemned[1].stage):
        assert stage in column["description"]


def test_instance_ids_are_unique_never_zero_and_exact_in_javascript() -> None:
    assert instance_ids(0, 2) == [1, 2]
    assert not set(instance_ids(0, 4095)) & set(instance_ids(1, 4095))
    assert instance_ids(2**40 - 1, 4095)[-1] < 2**52
    with pytest.raises(ValueError, match="4096 people"):
        instance_ids(0, 4096)
    with pytest.raises(ValueError, match="added people"):
        instance_ids(2**40, 1)
