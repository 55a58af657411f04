"""Intent records: what a process is working on at this moment, readable after its death, however sudden.

One small file an attempt at a shard: a header line, then one character an item: `.` at rest, `d` being read
and decoded, `m` in the models. Marks are plain writes into the page cache, a few microseconds each: they
survive the process, not a power cut, and need not: nobody is blamed for that. Beside them each process keeps
a crash file, into which a native crash writes its stack. They lie in the run folder; where that is in an
object store, in a temporary folder of the worker's node.
"""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from annotator.locations import absolute, is_remote
from annotator.runtime.cases import FOLDER
from annotator.runtime.scheduling.blame import Cause, Death

AT_REST, DECODING, IN_MODELS = b".", b"d", b"m"


class IntentLog:
    """Marks what an attempt at a shard is working on; may be used from several threads.

    As a context it is closed at the end; after an error its file stays, to blame the attempt by.

    Args:
        run_dir: the run folder.
        attempt: name of the attempt, unique in the run.
        first, size: index of the shard's first item in the plan, and how many items it has, neighbours all.

    Attributes:
        marks: number of marks so far; it stands still when the work does.
    """

    def __init__(self, run_dir: str | Path, attempt: str, first: int, size: int) -> None:
        self._path = _path(run_dir, attempt)
        header = {"first": first, "size": size, "host": socket.gethostname(), "pid": os.getpid()}
        line = json.dumps(header).encode() + b"\n"
        self._start = len(line) - first
        self._descriptor = _create(self._path)
        try:
            os.write(self._descriptor, line + AT_REST * size)
        except OSError:
            self._release()
            raise
        self.marks = 0

    def __enter__(self) -> IntentLog:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            self.close()
        else:
            self._release()

    @contextlib.contextmanager
    def decoding(self, index: int) -> Iterator[None]:
        """Around the reading and decoding of an item."""
        self._mark(index, DECODING)
        yield
        self._mark(index, AT_REST)

    @contextlib.contextmanager
    def in_models(self, indices: Iterable[int]) -> Iterator[None]:
        """Around the work of the models on some items."""
        indices = list(indices)
        for index in indices:
            self._mark(index, IN_MODELS)
        yield
        for index in indices:
            self._mark(index, AT_REST)

    def _mark(self, index: int, state: bytes) -> None:
        os.pwrite(self._descriptor, state, self._start + index)
        self.marks += 1

    def close(self) -> None:
        """The attempt ended in order: nothing is left to blame it for."""
        self._release()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@dataclass(frozen=True, slots=True)
class InFlight:
    """What an attempt was working on when its process ended; indices in the plan."""

    decoding: tuple[int, ...] = ()
    in_models: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.decoding) + len(self.in_models)

    @property
    def indices(self) -> tuple[int, ...]:
        """All of them."""
        return self.decoding + self.in_models


def _create(path: Path) -> int:
    """Open a new file for writing; another driver may sweep its folder away just now."""
    for _ in range(10):
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o666)
    raise FileNotFoundError(f"{path.parent} is removed again and again")


def in_flight(run_dir: str | Path, attempt: str) -> InFlight:
    """Read what an attempt left behind; nothing, if it ended in order or never began."""
    try:
        header, _, states = _path(run_dir, attempt).read_bytes().partition(b"\n")
        first = int(json.loads(header)["first"])
    except (OSError, ValueError, KeyError, TypeError):
        return InFlight()
    return InFlight(
        tuple(first + place for place, state in enumerate(states) if state == DECODING[0]),
        tuple(first + place for place, state in enumerate(states) if state == IN_MODELS[0]),
    )


def forget(run_dir: str | Path, attempt: str) -> None:
    """Remove the record of an attempt that has been judged."""
    with contextlib.suppress(OSError):
        _path(run_dir, attempt).unlink()


def sweep(run_dir: str | Path) -> None:
    """Remove all records: every shard is committed, so nobody will be judged any more."""
    shutil.rmtree(folder(run_dir), ignore_errors=True)


def folder(run_dir: str | Path) -> Path:
    """Where processes of this machine keep records for a run."""
    if not is_remote(run_dir):
        return Path(run_dir) / FOLDER
    name = hashlib.sha256(absolute(run_dir).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"annotator-{os.getuid()}-{name}"


def _path(run_dir: str | Path, attempt: str) -> Path:
    return folder(run_dir) / f"{attempt}.intent"


# Crash files


_lock = threading.Lock()
_crash_file: IO[str] | None = None


def write_crashes_to(run_dir: str | Path, worker: str) -> None:
    """Let a native crash of this process (segmentation fault, abort ...) write its stack to a file."""
    global _crash_file
    path = _crash_path(run_dir, worker)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock:
        file = path.open("a", encoding="utf-8")
        faulthandler.enable(file=file, all_threads=False)
        # The handler keeps the bare descriptor: the file has to stay open as long as the process lives.
        previous, _crash_file = _crash_file, file
        if previous is not None:
            previous.close()


def read_crash(run_dir: str | Path, worker: str) -> Death | None:
    """What a dead process wrote about its end, or None if it had no time to write anything."""
    try:
        text = _crash_path(run_dir, worker).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    what = re.search(r"Fatal Python error: (.+)", text)
    if what is None:
        return None
    where = re.search(r'File "(?:[^"]*/)?([^"/]+)", line (\d+) in (\S+)', text)
    place = f" in {where[3]} ({where[1]}:{where[2]})" if where else ""
    return Death(Cause.CRASHED, what[1].strip() + place)


def forget_crash(run_dir: str | Path, worker: str) -> None:
    """Remove the crash file of a process that is gone."""
    with contextlib.suppress(OSError):
        _crash_path(run_dir, worker).unlink()


def _crash_path(run_dir: str | Path, worker: str) -> Path:
    return folder(run_dir) / f"{worker}.crash"
