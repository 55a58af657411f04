"""A connection to Ray: a cluster to join, or one of our own, on loopback, behind a token."""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from annotator.errors import RunFailed, UserError
from annotator.runtime.stopping import handlers_kept

START_ATTEMPTS = 3
# Ray's way, on any platform in spite of the name: "0" takes 127.0.0.1 for the address of this node.
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def prepare_environment(local: bool) -> None:
    """Set what Ray reads once, when it is imported; call it before anything imports Ray.

    Usage statistics are off and token authentication is on. The token of a Ray of our own lives in a private
    folder for as long as this process (Ray's default would leave one in the home folder); a token that the
    environment already names, a cluster's, is used as it is.

    Args:
        local: Ray will serve this machine only: its ports listen on loopback and nowhere else.

    Raises:
        UserError: Ray was imported unprepared, and would listen on all interfaces or leave its token behind.
    """
    named = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    imported = "ray" in sys.modules
    if local and imported and not (named and os.environ.get(LOOPBACK) == "0"):
        raise UserError(
            "this process imported Ray before its ports and its token were seen to: call "
            "`annotator.runtime.ray.session.prepare_environment(local=True)` before anything imports Ray, "
            "use --executor inline, or join a cluster with --address"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if local:
        os.environ[LOOPBACK] = "0"
    if imported or named:
        return
    os.environ["RAY_AUTH_MODE"] = "token"
    if local:
        private = Path(tempfile.mkdtemp(prefix="annotator-ray-"))
        atexit.register(shutil.rmtree, private, ignore_errors=True)
        token = private / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)


@contextmanager
def ray_session(address: str | None) -> Iterator[ModuleType]:
    """Join the cluster at `address`, or start Ray for this process alone, reachable from this machine only.

    Yields:
        The `ray` module, connected.

    Raises:
        RunFailed: Ray cannot be started or reached.
        UserError: see `prepare_environment`.
    """
    prepare_environment(local=address is None)
    import ray

    with handlers_kept():
        _connect(ray, address)
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: ModuleType, address: str | None) -> None:
    """Start or join Ray.

    Starting is tried again: the agents of a node have 15 s to listen, on any machine (docs/faults.md).
    """
    attempts = 1 if address else START_ATTEMPTS
    options: dict[str, Any] = {} if address else {"include_dashboard": False}
    for attempt in range(1, attempts + 1):
        try:
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
                **options,
            )
            return
        except Exception as error:
            # Ray raises a plain Exception when its processes are late.
            ray.shutdown()
            if attempt < attempts and type(error) is Exception:
                continue
            where = f"join the Ray cluster at {address}" if address else "start Ray on this machine"
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise RunFailed(f"cannot {where}: {reason}; `--executor inline` runs without Ray") from error
