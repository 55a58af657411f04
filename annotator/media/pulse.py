"""The pulse of reading films: a count that grows while this process reads, however long one film takes.

A film may have to be decoded from its beginning, indexed or fetched for one single row.
"""

from __future__ import annotations

import threading

_lock = threading.Lock()
_beats = 0


def beat() -> None:
    """A packet of a film, or a piece of its local copy, was read."""
    global _beats
    with _lock:
        _beats += 1


def beats() -> int:
    """How many there were so far, in all threads together."""
    return _beats
