"""Logs and other small files of a run: what names a forgotten input is taken out, or found."""

from __future__ import annotations

import json
from collections.abc import Iterable

from annotator.store.storage import Storage

# With more names than these, free text is dropped from all lines, instead of being searched for each.
MOST_NAMES = 2_000
# Fields of a log line or sign of life in which an error may be quoted.
_FREE_TEXT = ("detail", "outcome", "ended")


class Names:
    """URIs and file names of forgotten inputs, as they would stand in a text."""

    def __init__(self, names: Iterable[str]) -> None:
        texts = {text for name in names for text in (name, json.dumps(name)[1:-1])}
        self._texts = sorted(texts) if len(texts) <= 2 * MOST_NAMES else None

    @property
    def searchable(self) -> bool:
        """Whether they are few enough to be looked for."""
        return self._texts is not None

    def in_text(self, text: str) -> bool:
        """Whether a text names one of them; always, when there are too many to look for."""
        return self._texts is None or any(name in text for name in self._texts)


def scrub_logs(storage: Storage, names: Names) -> int:
    """Take free text that names a forgotten input out of all logs; returns how many lines changed."""
    changed = 0
    for name in storage.names("logs"):
        if not name.endswith((".jsonl", ".life.json")):
            continue
        lines = storage.read(f"logs/{name}").decode(errors="replace").splitlines()
        clean = [_scrubbed(line, names) for line in lines]
        different = sum(a != b for a, b in zip(lines, clean, strict=True))
        if different:
            storage.replace(f"logs/{name}", "".join(f"{line}\n" for line in clean).encode())
            changed += different
    return changed


def _scrubbed(line: str, names: Names) -> str:
    if not names.in_text(line):
        return line
    try:
        body = json.loads(line)
    except ValueError:
        return "{}"
    return json.dumps({key: "" if key in _FREE_TEXT and value else value for key, value in body.items()})
