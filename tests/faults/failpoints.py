"""Steps of a commit that fail on demand, in this process."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from pathlib import Path

from annotator.store import local

GO = "go"  # the file in the working folder that a late commit waits for


def arm(name: str) -> None:
    """Make one step fail in this process: "" for none.

    `enospc`: the disk is full when data is written. `erofs`: it has become read-only. `eio-once`: one write
    fails, the next is well. `die-writing`: killed in the middle of a Parquet file. `die-before-link`: killed
    with all files written and nothing committed. `die-after-link`: killed with the shard committed and nobody
    told. `late`: the commit waits until somebody says so. `clock`: the wall clock jumps by days.
    """
    if name == "clock":
        true_time = time.time
        time.time = lambda: true_time() + random.choice([-3, -1, 1, 3]) * 86_400
    elif name in _LINKS:
        local.os = _Os(_LINKS[name])
    elif name:
        write_new, stand_in = local.write_new, _WRITES[name]

        def write(path: Path, data) -> None:
            if path.parent.name not in ("images", "instances", "commits"):
                write_new(path, data)
                return
            if name == "eio-once":
                local.write_new = write_new
            stand_in(path, data)

        local.write_new = write


def _fail(number: int):
    def write(path: Path, data) -> None:
        raise OSError(number, os.strerror(number), str(path))

    return write


def _die_writing(path: Path, data) -> None:
    path.write_bytes(bytes(data)[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


def _die_before(*arguments) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_after(*arguments) -> None:
    os.link(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)


def _link_late(*arguments) -> None:
    while not Path(GO).exists():
        time.sleep(0.05)
    os.link(*arguments)


_WRITES = {
    "enospc": _fail(errno.ENOSPC),
    "erofs": _fail(errno.EROFS),
    "eio-once": _fail(errno.EIO),
    "die-writing": _die_writing,
}
_LINKS = {"die-before-link": _die_before, "die-after-link": _die_after, "late": _link_late}


class _Os:
    """The `os` module with another `link` for commit records."""

    def __init__(self, link) -> None:
        self._link = link

    def link(self, source: Path, target: Path) -> None:
        (self._link if target.parent.name == "commits" else os.link)(source, target)

    def __getattr__(self, name: str):
        return getattr(os, name)
