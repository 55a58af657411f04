"""Steps of a commit that can be made to fail, here or, through `fake_models`, in a worker."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

from annotator.store import commit


def arm(name: str) -> None:
    """Make one step fail in this process: "" for none.

    `enospc`: the disk is full when data is written. `eio-once`: one write fails, the next is well.
    `die-writing`: killed in the middle of a Parquet file. `die-before-link`: killed with all files written
    and nothing committed. `die-after-link`: killed with the shard committed and nobody told.
    """
    if not name:
        return
    write_new, link = commit.write_new, os.link

    def full(path: Path, data):
        path.write_bytes(bytes(data)[: len(data) // 2])
        path.unlink()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def once(path: Path, data):
        commit.write_new = write_new
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    def killed(path: Path, data):
        path.write_bytes(bytes(data)[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    def no_link(*arguments, **options):
        os.kill(os.getpid(), signal.SIGKILL)

    def last_link(*arguments, **options):
        link(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    if name in ("die-before-link", "die-after-link"):
        # `run.json` is linked too: only commits are meant.
        stand_in = {"die-before-link": no_link, "die-after-link": last_link}[name]
        commit.os = _Os(stand_in)
    else:
        commit.write_new = {"enospc": full, "eio-once": once, "die-writing": killed}[name]


class _Os:
    """The `os` module with another `link`."""

    def __init__(self, link) -> None:
        self.link = link

    def __getattr__(self, name: str):
        return getattr(os, name)
