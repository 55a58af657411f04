"""The App of a run: its server as a process of its own, until somebody has seen enough."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.request import urlopen

from annotator.errors import RunFailed, UserError
from annotator.review import plugin_folder, views
from annotator.review.database import NAME_VARIABLE, database
from annotator.review.decisions import REVIEWER_VARIABLE
from annotator.review.fiftyone_process import settings
from annotator.review.workplace import Workplace, datasets_of
from annotator.store.reader import Run

# FiftyOne's own port, where bookmarks point to.
USUAL_PORT = 5151
_START_SECONDS = 300


@dataclass(frozen=True, slots=True)
class App:
    """A server that answers.

    Attributes:
        url: of the dataset's page, with everybody. process: the server.
    """

    url: str
    process: subprocess.Popen[bytes]

    @property
    def begin(self) -> str:
        """Where a review begins: whoever is likely there, the least trusted first."""
        return f"{self.url}?view={views.slug(views.WORST)}"


@contextlib.contextmanager
def app(place: Workplace, run: Run, reviewer: str | None = None, port: int | None = None) -> Iterator[App]:
    """Serve the App on 127.0.0.1 while the context lasts; the database too, unless others use it already.

    Args:
        run: that was loaded.
        reviewer: whose decisions these are; None for the user of the machine.
        port: None for FiftyOne's usual one, or a free one if that is taken.

    Raises:
        UserError: the run was not loaded, or the port is taken.
        RunFailed: the server does not start.
    """
    with contextlib.ExitStack() as stack:
        uri = stack.enter_context(database(place.database))
        environment = os.environ | settings(uri, place)
        dataset = _dataset(uri, environment[NAME_VARIABLE], run)
        plugin_folder.install(Path(environment["FIFTYONE_PLUGINS_DIR"]))
        if reviewer:
            environment[REVIEWER_VARIABLE] = reviewer
        port = _port(port)
        command = [sys.executable, "-m", "annotator.review.server", "--port", str(port)]
        # In a session of its own: Ctrl-C is for us, who end it in order.
        log = stack.enter_context(tempfile.TemporaryFile())
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
        )
        try:
            _wait(process, port, log)
            yield App(f"http://127.0.0.1:{port}/datasets/{dataset}", process)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines()
            raise RunFailed(f"the App's server ended at once: {said[-1] if said else 'it did not say why'}")
        with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}/fiftyone", timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise RunFailed(f"the App's server did not answer in {_START_SECONDS} s")


def _dataset(uri: str, database_name: str, run: Run) -> str:
    """The name of the run's dataset."""
    from pymongo import MongoClient

    with MongoClient(uri) as client:
        names = datasets_of(run, client[database_name])
    if not names:
        raise UserError(
            f"{run.path} is not in this database yet; `annotator review load {run.path}` brings it there"
        )
    return names[0]


def _port(wanted: int | None) -> int:
    for port in (wanted,) if wanted else (USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
    raise UserError(f"port {wanted} is taken; name another with --port, or leave it out")
