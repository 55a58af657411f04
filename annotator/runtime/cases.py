"""What is known of bad items, from one driver of a run to the next: a small file a shard, beside the run."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from annotator.runtime.scheduling.blame import Ledger
from annotator.store.storage import storage_at

FOLDER = "intents"

_NAME = re.compile(r"^s(\d{6,})\.cases\.json$")


def save_cases(run_dir: str | Path, shard: int, generation: int, ledger: Ledger) -> bool:
    """Keep what `ledger` knows of a shard; losing it would only cost the next driver a worker.

    Returns whether there was something to keep.
    """
    cases = ledger.to_json(shard)
    if cases:
        with contextlib.suppress(OSError):
            content = json.dumps({"generation": generation, "cases": cases}).encode()
            storage_at(run_dir).replace(_name(shard), content)
    return bool(cases)


def load_cases(run_dir: str | Path, generations: Mapping[int, int], ledger: Ledger) -> set[int]:
    """Take over what an earlier driver knew of shards; a retry gives every item a new chance.

    Args:
        generations: of the tasks, by shard.

    Returns the shards of which something is known.
    """
    storage, found = storage_at(run_dir), set()
    with contextlib.suppress(OSError):
        names = storage.names(FOLDER)
        known = {int(match[1]) for name in names if (match := _NAME.match(name))}
        for shard in sorted(known & generations.keys()):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                document = json.loads(storage.read(_name(shard)))
                if document["generation"] == generations[shard]:
                    ledger.load(shard, document["cases"])
                    found.add(shard)
    return found


def forget_cases(run_dir: str | Path, shard: int) -> None:
    """The shard is committed."""
    with contextlib.suppress(OSError):
        storage_at(run_dir).remove(_name(shard))


def sweep_cases(run_dir: str | Path) -> None:
    """Every shard is committed, so nobody will be judged any more."""
    storage = storage_at(run_dir)
    with contextlib.suppress(OSError):
        for name in storage.names(FOLDER):
            if _NAME.match(name):
                storage.remove(f"{FOLDER}/{name}")


def _name(shard: int) -> str:
    return f"{FOLDER}/s{shard:06d}.cases.json"
