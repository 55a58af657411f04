"""A log that grows line by line, in a folder or in an object store, which knows no appending."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from annotator.store.storage import storage_at

SEGMENT_BYTES = 256 << 10


class LogFile:
    """Appends lines to `NAME.jsonl`; in an object store to several, the last written anew at `flush`.

    A storage that fails is no reason to stop: what could not be written is tried again with the next lines,
    or lost.

    Args:
        run_dir: the run folder or its URL.
        name: relative to it, without suffix.
    """

    def __init__(self, run_dir: str | Path, name: str) -> None:
        self._storage = storage_at(run_dir)
        self._name = name
        self._path = None if self._storage.remote else Path(run_dir) / f"{name}.jsonl"
        self._segment, self._lines, self._bytes, self._flushed = 0, [], 0, True
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        """Append one line."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
            return
        with self._lock:
            self._lines.append(line + "\n")
            self._bytes += len(line) + 1
            self._flushed = False
            full = self._bytes >= SEGMENT_BYTES
        if full:
            self.flush()

    def flush(self) -> None:
        """Put into the object store what is not there yet."""
        with self._lock, contextlib.suppress(OSError):
            if self._flushed:
                return
            text = "".join(self._lines).encode()
            self._storage.replace(f"{self._name}.{self._segment:04d}.jsonl", text)
            self._flushed = True
            if self._bytes >= SEGMENT_BYTES:
                self._segment, self._lines, self._bytes = self._segment + 1, [], 0
