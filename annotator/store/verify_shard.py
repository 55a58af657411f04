"""Proof of one committed shard: its files are what was committed, its rows what the plan asks for."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from annotator.errors import RunFailed
from annotator.store.parquet import in_memory
from annotator.store.records import TABLES, CommitRecord
from annotator.store.run_info import RunInfo
from annotator.store.schema import PERSON_BITS, follows, made_otherwise, parse_metadata
from annotator.store.storage import Storage
from annotator.store.verify_plan import PlannedRows
from annotator.store.verify_tracks import TRACK_COLUMNS, TrackLedger

if TYPE_CHECKING:
    from annotator.store.verify_report import Report

# Nobody reads all files to see whether a shard is whole, but for this proof.
_ANEW = "move it away, and `annotator retry` makes the shard anew"


def check_shard(
    storage: Storage,
    record: CommitRecord,
    plan: PlannedRows,
    info: RunInfo | None,
    rows_of: np.ndarray,
    ledger: TrackLedger,
    report: Report,
) -> None:
    where = f"shard {record.shard}"
    if set(record.files) < set(TABLES):
        report.add("corrupt-commit", where, f"its commit record names no {' or '.join(TABLES)} file")
        return
    tables = {name: _read(storage, record, name, info, report) for name in TABLES}
    images, instances = tables["images"], tables["instances"]
    if images is None or not images.num_rows:
        return
    index, image_id = images["index"].to_numpy(), images["image_id"].to_numpy()
    expected = plan.rows(record.shard)
    report.images += len(index)

    wanted, ids = plan.index[expected], plan.image_id[expected]
    known = np.isin(index, wanted)
    place = np.searchsorted(wanted, index)
    rows = np.bincount(place[known], minlength=len(wanted))
    rows_of[expected] = np.minimum(rows, 255)
    for stranger in index[~known]:
        report.add("foreign", where, f"its images hold item {stranger}, which the plan does not put there")
    for row in np.flatnonzero(rows > 1):
        report.add("doubled", where, f"item {wanted[row]} has {rows[row]} rows in images")
    for item in index[known][ids[place[known]] != image_id[known]]:
        report.add("mismatch", where, f"item {item} has another image_id than in the plan")
    if np.any(np.diff(index) <= 0):
        report.add("mismatch", where, "its images are not in the order of the plan")
    if (images["shard"].to_numpy() != record.shard).any():
        report.add("mismatch", where, "its images hold the number of another shard")
    if instances is not None:
        report.instances += instances.num_rows
        _check_instances(where, images, instances, report)
        tracks = _read(storage, record, "tracks", info, report) if "tracks" in record.files else None
        ledger.add(where, images, instances, tracks, report)


def _check_instances(where: str, images: pa.Table, instances: pa.Table, report: Report) -> None:
    image_id, people = images["image_id"].to_numpy(), images["num_instances"].to_numpy()
    owner, ids = instances["image_id"].to_numpy(), instances["id"].to_numpy()
    mine = np.isin(owner, image_id)
    for orphan in np.unique(owner[~mine]):
        report.add("orphan", where, f"instances of image {orphan}, which is not among the shard's images")
    order = np.argsort(image_id, kind="stable")
    place = order[np.clip(np.searchsorted(image_id[order], owner), 0, len(order) - 1)]
    found = np.bincount(place[mine], minlength=len(image_id))
    for row in np.flatnonzero(found != people):
        report.add("mismatch", where, f"image {image_id[row]} has {found[row]} instances, not {people[row]}")
    status = images["status"].to_numpy(zero_copy_only=False)
    for row in np.flatnonzero((status == "ok") != (people > 0)):
        report.add("mismatch", where, f"image {image_id[row]} is {status[row]!r} with {people[row]} people")
    for value in set(status) - {"ok", "empty", "error"}:
        report.add("mismatch", where, f"status {value!r} is none of ok, empty, error")
    twice, times = np.unique(ids, return_counts=True)
    for value in twice[times > 1]:
        report.add("doubled", where, f"instance {value} is there more than once")
    index, person = images["index"].to_numpy(), instances["person_index"].to_numpy()
    wrong = mine & (ids != (index[place] << PERSON_BITS | (person.astype(np.int64) + 1)))
    for value in ids[wrong]:
        report.add("mismatch", where, f"instance {value} does not bear the id of its image and person_index")


def _read(
    storage: Storage, record: CommitRecord, table: str, info: RunInfo | None, report: Report
) -> pa.Table | None:
    """The id columns of a data file, once its bytes, schema, metadata and size are what the record says."""
    entry = record.files[table]
    needed = {
        "images": ["index", "image_id", "shard", "status", "num_instances", "frame_index"],
        "instances": ["id", "image_id", "person_index", "track_id"],
        "tracks": list(TRACK_COLUMNS),
    }[table]
    try:
        data = storage.read(entry.name)
        digest = hashlib.sha256(data).hexdigest()
        if digest != entry.sha256:
            report.add(
                "damaged", entry.name, f"its content is not what was committed (sha256 differs); {_ANEW}"
            )
        with pq.ParquetFile(in_memory(data)) as parquet:
            schema = parquet.schema_arrow
            if not follows(schema, table):
                report.add("damaged", entry.name, f"its columns are not those of the {table} table; {_ANEW}")
            document = parse_metadata(schema, entry.name)
            if info is not None and (other := made_otherwise(document, asdict(info.provenance))):
                differing = f"{', '.join(other)} differ from run.json's"
                message = f"its rows are of another run ({differing}); {_ANEW}"
                report.add("provenance", entry.name, message)
            if document.get("table") != table:
                report.add("damaged", entry.name, f"its metadata is not of the {table} table; {_ANEW}")
            rows = parquet.read(columns=needed)
            if set(needed) - set(rows.column_names):
                return None
    except (FileNotFoundError, NotADirectoryError):
        message = (
            f"the commit record of shard {record.shard} names it; it is not there: `annotator retry` makes "
            "the shard anew"
        )
        report.add("lost-file", entry.name, message)
        return None
    except (pa.ArrowException, OSError, KeyError, RunFailed) as error:
        report.add("unreadable", entry.name, f"{str(error).strip()}; {_ANEW}")
        return None
    if rows.num_rows != entry.rows:
        report.add("mismatch", entry.name, f"{rows.num_rows} rows; {entry.rows} were committed")
    return rows
