"""Tags that a load gives to an image; all others are people's own."""

from __future__ import annotations

from collections.abc import Iterable

from annotator.store.records import CommitRecord

_STATUS = ("ok", "empty", "error")
_PREFIXES = ("shard:", "worker:")


def tags_of(record: CommitRecord) -> tuple[str, ...]:
    """Shard and worker of everything that a commit brought."""
    host, pid = record.stats.get("host"), record.stats.get("pid")
    worker = (f"worker:{host}-{pid}",) if host is not None else ()
    return (f"shard:{record.shard}", *worker)


def renewed(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """People's own tags of `old`, then the load's of `new`."""
    own = [tag for tag in old if tag not in _STATUS and not tag.startswith(_PREFIXES)]
    return [*own, *new]
