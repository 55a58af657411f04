"""FiftyOne in a process: one database, ours, whoever imported FiftyOne before and with whatever settings."""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from annotator.errors import RunFailed
from annotator.review.database import ADDRESS_VARIABLE, NAME_VARIABLE, database
from annotator.review.workplace import Workplace


def settings(uri: str, place: Workplace) -> dict[str, str]:
    """The environment of FiftyOne: our database, our plugins, loopback only, no word to anybody outside."""
    return {
        ADDRESS_VARIABLE: uri,
        NAME_VARIABLE: os.environ.get(NAME_VARIABLE) or "fiftyone",
        "FIFTYONE_DATABASE_VALIDATION": "false",
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
        "FIFTYONE_DEFAULT_APP_ADDRESS": "127.0.0.1",
        "FIFTYONE_PLUGINS_DIR": os.environ.get("FIFTYONE_PLUGINS_DIR") or str(place.plugins),
    }


# The database that this process started or joined, and its address; at most one.
_held: dict[Path, str] = {}


def import_fiftyone(place: Workplace) -> Any:
    """Import FiftyOne with the run's database, which this process holds until it ends.

    Raises:
        UserError: no database can be had.
        RunFailed: this process uses another database already; FiftyOne knows one in a process.
    """
    named = os.environ.get(ADDRESS_VARIABLE)
    if named and named not in _held.values():
        with database(place.database) as uri:
            return _configured(uri, place)
    if _held and place.database not in _held:
        raise RunFailed(f"this process reviews with {next(iter(_held))}; start another one for {place.root}")
    if not _held:
        held = ExitStack()
        # FiftyOne's own exit hooks still talk to the database: ours must run after them, so it comes first.
        atexit.register(held.close)
        _held[place.database] = held.enter_context(database(place.database))
    return _configured(_held[place.database], place)


def _configured(uri: str, place: Workplace) -> Any:
    ours = settings(uri, place)
    os.environ.update(ours)
    import fiftyone
    from fiftyone.core.config import load_config

    # It read its settings when somebody imported it first, which may have been before these stood there.
    now = load_config()
    for variable in ours:
        name = variable.removeprefix("FIFTYONE_").lower()
        setattr(fiftyone.config, name, getattr(now, name))
    _check_connection(uri)
    return fiftyone


def _check_connection(uri: str) -> None:
    """FiftyOne connects when it first needs to, and stays with that database."""
    from fiftyone.core.odm import get_db_conn
    from pymongo import MongoClient

    found = get_db_conn().client.nodes
    with MongoClient(uri) as client:
        client.admin.command("ping")
        wanted = client.nodes
    if not found & wanted:
        raise RunFailed(
            "this process uses FiftyOne with another database already; start another one for this review"
        )
