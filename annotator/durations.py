"""Spans of time in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """A time span as a person says it: 12.3 s, 4 min 05 s, 3 h 07 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
