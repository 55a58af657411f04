"""Commit records: the small JSON files that say which data files are the rows of a shard."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_NAME = re.compile(r"^s(\d{6,})\.json$")


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
        generation: 0 for the first rows of a shard; later ones replace them.
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


def record_path(run_dir: str | Path, shard: int) -> Path:
    """Where the record of a shard stands."""
    return Path(run_dir) / "commits" / f"s{shard:06d}.json"


def read_record(path: Path, shard: int) -> CommitRecord:
    """Read the record of a shard.

    Raises:
        FileNotFoundError: there is none.
        CorruptRecordError: it is not what was written, or another shard's.
        OSError: it cannot be read.
    """
    record = CommitRecord.from_json(path.read_bytes())
    if record.shard != shard:
        raise CorruptRecordError(f"it is the record of shard {record.shard}")
    return record


def record_shards(run_dir: str | Path) -> list[int]:
    """Numbers of the shards that have a record, readable or not, ascending."""
    try:
        names = [entry.name for entry in (Path(run_dir) / "commits").iterdir()]
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for name in names if (match := _NAME.match(name)))


def iter_records(run_dir: str | Path) -> Iterator[tuple[int, CommitRecord | CorruptRecordError]]:
    """Every record, by ascending shard; a damaged one comes as the error that reading it gave.

    A record that vanishes meanwhile (put aside by a resuming run) is left out.
    """
    for shard in record_shards(run_dir):
        try:
            yield shard, read_record(record_path(run_dir, shard), shard)
        except FileNotFoundError:
            continue
        except CorruptRecordError as error:
            yield shard, error


def committed_shards(run_dir: str | Path) -> dict[int, str]:
    """The winning attempt of each committed shard; damaged records do not count."""
    return {
        shard: record.attempt for shard, record in iter_records(run_dir) if isinstance(record, CommitRecord)
    }
