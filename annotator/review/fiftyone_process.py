"""FiftyOne in a process: its settings must stand in the environment before it is imported."""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from annotator.errors import RunFailed
from annotator.review.database import ADDRESS_VARIABLE, database
from annotator.review.workplace import Workplace


def settings(uri: str, place: Workplace) -> dict[str, str]:
    """The environment of FiftyOne: our database, our plugins, loopback only, no word to anybody outside."""
    return {
        ADDRESS_VARIABLE: uri,
        "FIFTYONE_DATABASE_VALIDATION": "false",
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
        "FIFTYONE_DEFAULT_APP_ADDRESS": "127.0.0.1",
        "FIFTYONE_PLUGINS_DIR": os.environ.get("FIFTYONE_PLUGINS_DIR") or str(place.plugins),
    }


_held: dict[Path, str] = {}


def import_fiftyone(place: Workplace) -> Any:
    """Import FiftyOne with the run's database, which this process holds until it ends.

    Raises:
        UserError: no database can be had.
        RunFailed: this process uses the database of another run; FiftyOne knows one in a process.
    """
    named = os.environ.get(ADDRESS_VARIABLE)
    if _held and named in _held.values() and place.database not in _held:
        raise RunFailed(f"this process reviews with {next(iter(_held))}; start another one for {place.root}")
    if not named:
        held = ExitStack()
        # FiftyOne's own exit hooks still talk to the database: ours must run after them, so it comes first.
        atexit.register(held.close)
        _held[place.database] = held.enter_context(database(place.database))
        os.environ.update(settings(_held[place.database], place))
    elif not _held:
        with database(place.database) as uri:
            os.environ.update(settings(uri, place))
    import fiftyone

    return fiftyone
