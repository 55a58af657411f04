"""Times as FiftyOne keeps them, UTC without a zone, and as layers have them."""

from __future__ import annotations

import datetime


def now() -> datetime.datetime:
    """In UTC, without a zone."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def iso(moment: datetime.datetime | None) -> str | None:
    """ISO 8601 in UTC, to the millisecond, as layers have it."""
    if moment is None:
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
