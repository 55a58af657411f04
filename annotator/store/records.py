"""Commit records: the small JSON files that say which data files are the rows of a shard."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

from annotator.store.storage import Storage, many, storage_at

# What every shard has.
TABLES = ("images", "instances")
# Every folder that a commit may write to; tracks are there once the people of a film are followed.
TABLE_FOLDERS = (*TABLES, "tracks")
FOLDERS = (*TABLE_FOLDERS, "commits")

_NAME = re.compile(r"^s(\d{6,})(?:-g(\d{3,}))?\.json$")


class CorruptRecordError(ValueError):
    """A commit record that is not what was written."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A data file of a shard: name relative to the run folder (posix), rows, bytes, sha256 (hex)."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """What stands in `commits/sNNNNNN.json` (`schemas/pose/v1/commit.schema.json`).

    Attributes:
        shard: number of the shard.
        generation: 0 for the first rows of a shard; those of a retry, 1 and up, replace all earlier ones.
            Their records are `commits/sNNNNNN-g001.json` and so on. Superseded records stay: a late attempt
            at an old generation would otherwise find its place free.
        attempt: id of the attempt that won, 16 hex digits, part of its files' names.
        files: data files by table.
        counts: images by status: ok, empty, error.
        people: rows in instances.
        errors: error rows by "stage/kind".
        stats: figures of the work, as the worker gave them.
        committed_at: ISO 8601, UTC, by the clock of the machine that committed.
    """

    shard: int
    generation: int
    attempt: str
    files: dict[str, FileEntry]
    counts: dict[str, int]
    people: int
    errors: dict[str, int]
    stats: dict[str, Any]
    committed_at: str

    @property
    def images(self) -> int:
        """Rows in images."""
        return self.files["images"].rows

    def to_json(self) -> bytes:
        """The file's bytes, with a checksum of its content."""
        # Through JSON once: the checksum is of what a reader will see (tuples, keys that were numbers).
        body = json.loads(json.dumps(asdict(self)))
        return json.dumps({**body, "checksum": _checksum(body)}, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> CommitRecord:
        """The inverse of `to_json`.

        Raises:
            CorruptRecordError: not JSON, something missing, or content that differs from its checksum.
        """
        try:
            body = json.loads(data)
            checksum = body.pop("checksum")
            if checksum != _checksum(body):
                raise CorruptRecordError("its content differs from its checksum")
            body["files"] = {name: FileEntry(**entry) for name, entry in body["files"].items()}
            return cls(**body)
        except CorruptRecordError:
            raise
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise CorruptRecordError(f"{type(error).__name__}: {error}") from None


def _checksum(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def listed(storage: Storage, folders: Iterable[str]) -> dict[str, int]:
    """Bytes of the files in some folders of a run, by their names relative to it."""
    return {f"{folder}/{file}": size for folder in folders for file, size in storage.sizes(folder).items()}


def record_name(shard: int, generation: int = 0) -> str:
    """Where the record of a generation of a shard stands, relative to the run folder."""
    suffix = f"-g{generation:03d}" if generation else ""
    return f"commits/s{shard:06d}{suffix}.json"


def read_record(storage: Storage, shard: int, generation: int = 0) -> CommitRecord:
    """Read the record of a generation of a shard.

    Raises:
        FileNotFoundError: there is none.
        CorruptRecordError: it is not what was written, or another shard's.
        OSError: it cannot be read.
    """
    return parse_record(storage.read(record_name(shard, generation)), shard)


def parse_record(data: bytes, shard: int) -> CommitRecord:
    """The record of a shard from the bytes of its file.

    Raises:
        CorruptRecordError: as `read_record`.
    """
    record = CommitRecord.from_json(data)
    if record.shard != shard:
        raise CorruptRecordError(f"it is the record of shard {record.shard}")
    return record


def generations(run_dir: str | Path) -> dict[int, list[int]]:
    """Generations that have a record, readable or not, by shard; both ascending."""
    names = storage_at(run_dir).names("commits")
    places = sorted((int(match[1]), int(match[2] or 0)) for name in names if (match := _NAME.match(name)))
    found: dict[int, list[int]] = {}
    for shard, generation in places:
        found.setdefault(shard, []).append(generation)
    return found


def standing_record(
    run_dir: str | Path, shard: int, known: Mapping[int, Sequence[int]] | None = None
) -> CommitRecord:
    """The record of the latest generation of one shard, that which `iter_records` gives.

    Args:
        known: `generations` of the run, of any moment, for who reads shard after shard: the folder is then
            listed only for a shard that is not in them, or whose record was put aside since.

    Raises:
        FileNotFoundError, CorruptRecordError, OSError: as `read_record`.
    """
    if known is not None and shard in known:
        with suppress(FileNotFoundError):
            return record_since(run_dir, shard, known[shard][-1])
    latest = generations(run_dir).get(shard, [0])[-1]
    return read_record(storage_at(run_dir), shard, latest)


def record_since(run_dir: str | Path, shard: int, generation: int) -> CommitRecord:
    """The record of the latest generation of one shard from this one on, without listing the folder.

    Raises:
        FileNotFoundError, CorruptRecordError, OSError: as `read_record`.
    """
    storage = storage_at(run_dir)
    data = storage.read(record_name(shard, generation))
    for later in count(generation + 1):
        try:
            data = storage.read(record_name(shard, later))
        except FileNotFoundError:
            break
    return parse_record(data, shard)


def iter_records(run_dir: str | Path) -> Iterator[tuple[int, CommitRecord | CorruptRecordError]]:
    """The record of the latest generation of every shard, ascending; a damaged one comes as its error.

    A record that vanishes meanwhile (put aside by a resuming run) is left out.
    """
    storage = storage_at(run_dir)
    latest = {shard: record_name(shard, numbers[-1]) for shard, numbers in generations(run_dir).items()}
    for shard, data in zip(latest, contents(storage, list(latest.values())), strict=True):
        if data is None:
            continue
        try:
            yield shard, parse_record(data, shard)
        except CorruptRecordError as error:
            yield shard, error


def contents(storage: Storage, names: Sequence[str]) -> Iterator[bytes | None]:
    """Small files, in order; None for one that is not there."""

    def read(name: str) -> bytes | None:
        try:
            return storage.read(name)
        except FileNotFoundError:
            return None

    return many(storage, read, names)
