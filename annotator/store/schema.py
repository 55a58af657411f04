"""Arrow schemas of every table, and the `pose` metadata that each Parquet file carries.

The contract itself is data: `schemas/pose/v1/arrow.json`, published with JSON Schemas and a golden file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import pyarrow as pa

from annotator import __version__
from annotator.errors import RunFailed
from annotator.skeletons import Skeleton

CONTRACT = files("schemas") / "pose" / "v1"
METADATA_KEY = b"pose"

# Bits of an instance id that hold the person; `RunConfig.max_people` keeps below it.
PERSON_BITS = 12
MAX_PEOPLE = (1 << PERSON_BITS) - 1

_SCALARS = {
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
}


def _arrow_type(text: str | dict[str, Any]) -> pa.DataType:
    if isinstance(text, str):
        return _SCALARS[text]
    if "list" in text:
        return pa.list_(pa.field("item", _arrow_type(text["list"]), nullable=False))
    fields = []
    for name, inner in text["struct"].items():
        nullable = isinstance(inner, str) and inner.endswith("?")
        fields.append(
            pa.field(name, _arrow_type(inner.rstrip("?") if nullable else inner), nullable=nullable)
        )
    return pa.struct(fields)


def _load() -> tuple[str, dict[str, pa.Schema]]:
    contract = json.loads((CONTRACT / "arrow.json").read_text(encoding="utf-8"))
    schemas = {
        table: pa.schema(
            [pa.field(f["name"], _arrow_type(f["type"]), nullable=f["nullable"]) for f in fields]
        )
        for table, fields in contract["tables"].items()
    }
    return contract["version"], schemas


SCHEMA_VERSION, SCHEMAS = _load()
PLAN = SCHEMAS["plan"]
IMAGES = SCHEMAS["images"]
INSTANCES = SCHEMAS["instances"]
TRACKS = SCHEMAS["tracks"]


def follows(schema: pa.Schema, table: str) -> bool:
    """Whether a file's columns are those of `table` in some version 1.x: earlier ones lack nullable ones."""
    fields = {field.name: field for field in schema}
    contract = SCHEMAS[table]
    return set(fields) <= set(contract.names) and all(
        fields[field.name].equals(field) if field.name in fields else field.nullable for field in contract
    )


def completed(rows: pa.Table, table: str) -> pa.Table:
    """Rows of any version 1.x with the columns of this one: those that were not there yet are null.

    Raises:
        pa.ArrowInvalid: a column that may not be null is missing.
    """
    columns = [
        rows[field.name] if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type)
        for field in SCHEMAS[table]
    ]
    return pa.table(columns, schema=SCHEMAS[table].with_metadata(rows.schema.metadata))


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model as the rows remember it.

    Attributes:
        name: of the catalogue, or the config file's stem.
        sha256: of the weight file, hex; None for a model without one.
        weights: the weight file's name, without its folder.
        input_size: (width, height) of the network's input in pixels, where it is one size.
        config_sha256: of the config with everything it inherits, hex.
    """

    name: str
    sha256: str | None = None
    weights: str | None = None
    input_size: tuple[int, int] | None = None
    config_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file that rows depend on, by name (without its folder) and content."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The run that rows were made from.

    Attributes:
        run: name of its folder.
        rows_sha256: of the list of its committed data files and their hashes, hex.
        config_sha256, code_version: its own.
        reused: what its rows gave: "inputs", "errors", "boxes", "keypoints"; all else was made anew.
    """

    run: str
    rows_sha256: str
    config_sha256: str
    code_version: str
    reused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where rows come from: what must be equal for them to be equal.

    Attributes:
        pose_model, detector: the models; detector is None when boxes were given.
        boxes: the file of given person boxes, or None.
        config_sha256: `RunConfig.sha256()`.
        plan_sha256: `Plan.sha256`.
        code_version: of this package.
        calibration: the file of probabilities that `keypoint_probs` were made with, or None.
        second_pose_model: the second model on the same boxes, or None.
        derived_from: the run whose rows these were made from, or None.
    """

    pose_model: ModelRecord
    detector: ModelRecord | None
    boxes: FileRecord | None
    config_sha256: str
    plan_sha256: str
    code_version: str = __version__
    calibration: FileRecord | None = None
    second_pose_model: ModelRecord | None = None
    derived_from: RunRecord | None = None


def metadata(
    table: str,
    *,
    skeleton: Skeleton | None = None,
    visibility: dict[str, Any] | None = None,
    provenance: Provenance | None = None,
) -> dict[bytes, bytes]:
    """The versioned `pose` key of a Parquet file (`schemas/pose/v1/metadata.schema.json`).

    Args:
        table: "plan", "images", "instances" or "tracks"; all but "plan" need the other three.
        visibility: the policy's `to_dict()`.

    Raises:
        ValueError: unknown table, or something missing that its rows cannot be understood without.
    """
    if table not in SCHEMAS:
        raise ValueError(f"no table {table!r} in the contract: {', '.join(SCHEMAS)}")
    document: dict[str, Any] = {
        "version": SCHEMA_VERSION,
        "table": table,
        "code_version": __version__,
        "coordinates": {
            "frame": "upright image",
            "unit": "pixel",
            "origin": "centre of the top-left pixel",
            "axes": "x right, y down",
            "bbox": "xywh",
        },
        "orientation": "EXIF orientation applied: width, height and all coordinates are of the upright image",
    }
    if table != "plan":
        if skeleton is None or visibility is None or provenance is None:
            raise ValueError(
                f"the metadata of {table} needs a skeleton, a visibility policy and a provenance"
            )
        document["category"] = {"id": 1, "name": "person"}
        document["skeleton"] = skeleton.to_dict()
        document["visibility"] = visibility
        document.update(asdict(provenance))
    return {METADATA_KEY: json.dumps(document, sort_keys=True).encode()}


def parse_metadata(schema: pa.Schema, source: str) -> dict[str, Any]:
    """The `pose` document of a file's schema.

    Args:
        schema: as read from the Parquet file.
        source: what to call the file in an error.

    Raises:
        RunFailed: no such metadata, or of a major version that this code does not know.
    """
    raw = (schema.metadata or {}).get(METADATA_KEY)
    try:
        document = json.loads(raw) if raw is not None else None
    except ValueError:
        document = None
    if not isinstance(document, dict) or "version" not in document:
        raise RunFailed(
            f"{source} carries no readable `pose` metadata: not a file of this program, or damaged"
        )
    if str(document["version"]).split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        raise RunFailed(
            f"{source} is of schema version {document['version']}; this program reads {SCHEMA_VERSION}. "
            "Use a matching version of pose-annotator"
        )
    return document


def made_otherwise(document: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What all rows of a run have in common, and these two `pose` documents do not.

    Hashes alone: names and paths may differ. Not that of the settings: a later version knows more of them.
    """
    files = ("pose_model", "detector", "second_pose_model", "boxes", "calibration")
    differing = [name for name in files if _sha256(document.get(name)) != _sha256(other.get(name))]
    return differing + (["plan"] if document.get("plan_sha256") != other.get("plan_sha256") else [])


def _sha256(entry: Any) -> Any:
    return entry.get("sha256") if isinstance(entry, dict) else entry


def instance_ids(index: int, people: int) -> list[int]:
    """Identifiers of the people of one image: `index << 12 | (person_index + 1)`.

    Never 0, which pycocotools takes for "unmatched"; below 2**52 up to 2**40 images: exact in JavaScript.

    Raises:
        ValueError: more people than an id can tell apart (4095), or an image from 2**40 on.
    """
    if index >= 1 << 40:
        raise ValueError(f"image {index}: ids of its people would be those of added people")
    if people > MAX_PEOPLE:
        raise ValueError(f"{people} people in image {index}: at most {MAX_PEOPLE} can be told apart")
    return [index << PERSON_BITS | (person + 1) for person in range(people)]
