"""What a start of a run leaves for others to read: a log of one JSON line a shard, and a sign of life.

Both lie in RUN/logs, named after the start, so that several drivers do not disturb each other. The run itself
reads nothing of it, and a storage that fails here does not stop it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from annotator.errors import UserError
from annotator.runtime.job import News, Progress, WorkerNews
from annotator.runtime.log_file import LogFile
from annotator.runtime.progress import Tally
from annotator.store.storage import storage_at

FOLDER = "logs"
LIFE_SECONDS = 3.0
# Three signs of life missed, and then some for a slow file system.
SILENT_SECONDS = 15.0
# Signs of life between two looks at what of the log has still to be written.
FLUSH_TICKS = 5
WINDOW_SECONDS = 120.0
_FIGURES = ("pid", "written_at", "images", "people", "errors", "total", "before", "rate", "deaths")


@dataclass(frozen=True, slots=True)
class WorkerLife:
    """A worker as its driver last heard of it.

    Attributes:
        node: where it runs.
        state: "started", "ready", or "died".
        shards: what it holds, the one under way first.
        heard: seconds since it last answered, as of the sign of life.
    """

    node: str = ""
    state: str = "started"
    shards: tuple[int, ...] = ()
    heard: float = 0.0


@dataclass(frozen=True, slots=True)
class Life:
    """A driver's sign of life.

    Attributes:
        start: name of the start, also of its log.
        host, pid: of the driver.
        written_at: seconds since 1970, by the driver's clock.
        ended: None while it works, else how it ended.
        images, people, errors: of this start, unfinished shards included.
        total, before: items of the run, and rows committed before this start.
        rate: images a second over the last two minutes.
        deaths: workers that died.
        workers: by name.
    """

    start: str
    host: str
    pid: int
    written_at: float
    ended: str | None
    images: int
    people: int
    errors: int
    total: int
    before: int
    rate: float
    deaths: int
    workers: dict[str, WorkerLife] = field(default_factory=dict)

    @property
    def age(self) -> float:
        """Seconds since it was written, by this machine's clock."""
        return max(0.0, time.time() - self.written_at)

    @property
    def alive(self) -> bool:
        """The driver has not ended, and was heard of lately."""
        return self.ended is None and self.age < SILENT_SECONDS

    @property
    def seconds_left(self) -> float | None:
        """At the present rate; None when nothing moves."""
        return (self.total - self.before - self.images) / self.rate if self.rate > 0 else None


class Journal:
    """Writes the log and the signs of life of one start; use it as a context.

    Args:
        run_dir: the run folder.
        total: items of the run.
        before: rows committed before this start.
    """

    def __init__(self, run_dir: str | Path, total: int, before: int) -> None:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        self.start = f"{moment}-{secrets.token_hex(2)}"
        self._storage = storage_at(run_dir)
        self._log = LogFile(run_dir, f"{FOLDER}/{self.start}")
        self._total, self._before = total, before
        self._tally = Tally()
        self._workers: dict[str, WorkerLife] = {}
        self._heard: dict[str, float] = {}
        self._deaths = 0
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name="journal", daemon=True)

    def __enter__(self) -> Journal:
        self.write("run", host=socket.gethostname(), pid=os.getpid(), items=self._total)
        self._show(None)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._stop.set()
        self._thread.join()
        ended = "finished" if error is None else str(error) or type(error).__name__
        self.write("over", outcome=ended, images=self._tally.images, deaths=self._deaths)
        self._log.flush()
        self._show(ended)

    def hear(self, news: News) -> None:
        """Take in what an executor reports."""
        with self._lock:
            if isinstance(news, Progress):
                self._tally.add(news)
            else:
                self._note(news)
        if isinstance(news, WorkerNews) and news.event != "beat":
            self.write(news.event, worker=news.worker, node=news.node, detail=news.detail, shards=news.shards)
        elif isinstance(news, Progress) and news.committed:
            counts = {"images": news.images, "people": news.people, "errors": news.errors}
            self.write("shard", shard=news.shard, worker=news.worker, **(news.stats | counts))

    def write(self, event: str, **fields: Any) -> None:
        """Append one line to the log."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event} | fields
        self._log.write(json.dumps(line))

    def _note(self, news: WorkerNews) -> None:
        if news.event in ("died", "ended"):
            self._deaths += news.event == "died"
            self._workers.pop(news.worker, None)
            self._heard.pop(news.worker, None)
        else:
            state = "started" if news.event == "started" else "ready"
            self._workers[news.worker] = WorkerLife(news.node, state, news.shards)
            self._heard[news.worker] = time.monotonic()

    def _live(self) -> None:
        for tick in count(1):
            if self._stop.wait(LIFE_SECONDS):
                return
            self._show(None)
            if tick % FLUSH_TICKS == 0:
                self._log.flush()

    def _show(self, ended: str | None) -> None:
        now = time.monotonic()
        with self._lock:
            self._seen.append((now, self._tally.images))
            while len(self._seen) > 2 and self._seen[0][0] < now - WINDOW_SECONDS:
                self._seen.popleft()
            (first, before), (last, images) = self._seen[0], self._seen[-1]
            life = Life(
                start=self.start,
                host=socket.gethostname(),
                pid=os.getpid(),
                written_at=time.time(),
                ended=ended,
                images=images,
                people=self._tally.people,
                errors=self._tally.errors,
                total=self._total,
                before=self._before,
                rate=max(0.0, (images - before) / (last - first)) if last > first else 0.0,
                deaths=self._deaths,
                workers={
                    name: WorkerLife(
                        worker.node, worker.state, worker.shards, round(now - self._heard[name], 1)
                    )
                    for name, worker in self._workers.items()
                },
            )
        with contextlib.suppress(OSError):
            self._storage.replace(f"{FOLDER}/{self.start}.life.json", json.dumps(asdict(life)).encode())


def read_lives(run_dir: str | Path) -> list[Life]:
    """The last sign of life of each start of a run, the newest start last."""
    lives = []
    for read in _files(run_dir, ".life.json"):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            body = json.loads(read())
            body["workers"] = {
                name: WorkerLife(**worker | {"shards": tuple(worker["shards"])})
                for name, worker in body["workers"].items()
            }
            life = Life(**body)
            if all(math.isfinite(getattr(life, name)) for name in _FIGURES):
                lives.append(life)
    return lives


def may_be_at_work(run_dir: str | Path, but: str | None = None) -> bool:
    """Whether a driver was heard of lately; also where nobody can tell, as the logs cannot be read.

    Args:
        but: name of a start that does not count.
    """
    try:
        return any(life.alive and life.start != but for life in read_lives(run_dir))
    except OSError:
        return True


def at_work(run_dir: str | Path) -> bool:
    """Whether a driver was heard of lately.

    Raises:
        UserError: nobody can tell, as the logs cannot be read.
    """
    try:
        return any(life.alive for life in read_lives(run_dir))
    except OSError as error:
        raise UserError(
            f"{run_dir}/{FOLDER} cannot be read ({error.strerror or error}), so nobody can tell whether a "
            "driver is at work; make it readable or, if you know that none is, move it away"
        ) from error


def read_log(run_dir: str | Path) -> Iterator[dict[str, Any]]:
    """The lines of all logs of a run, start by start; a line cut short by a kill is left out."""
    for read in _files(run_dir, ".jsonl"):
        for line in read().splitlines():
            with contextlib.suppress(ValueError):
                yield json.loads(line)


def _files(run_dir: str | Path, suffix: str) -> Iterator[Callable[[], bytes]]:
    """Readers of the files of a kind, in the order of their names."""
    storage = storage_at(run_dir)
    for name in sorted(storage.names(FOLDER)):
        if name.endswith(suffix) and not name.startswith("."):
            yield partial(storage.read, f"{FOLDER}/{name}")
