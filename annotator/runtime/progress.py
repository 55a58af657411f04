"""What a person sees of a run while it works: the bar, and the tally behind it."""

from __future__ import annotations

import sys
from typing import Protocol

from annotator.runtime.job import Progress


class Listener(Protocol):
    """Hears how a run comes along. All calls come from one thread."""

    def stage(self, text: str) -> None: ...
    def download(self, name: str, have: int, total: int | None) -> None: ...
    def begin(self, total: int, done: int, people: int, errors: int) -> None: ...
    def report(self, progress: Progress) -> None: ...


class Tally:
    """Adds up the progress of shards that are under way or committed, each counted once.

    A shard that starts again on another worker begins at zero again; the totals follow.
    """

    def __init__(self, done: int = 0, people: int = 0, errors: int = 0) -> None:
        self._settled = [done, people, errors]
        self._running: dict[int, Progress] = {}
        self._committed: set[int] = set()

    def add(self, progress: Progress) -> None:
        """Take in one report; a late one about a committed shard changes nothing."""
        if progress.shard in self._committed:
            return
        if progress.committed:
            self._committed.add(progress.shard)
            self._running.pop(progress.shard, None)
            for place, count in enumerate((progress.images, progress.people, progress.errors)):
                self._settled[place] += count
        else:
            self._running[progress.shard] = progress

    @property
    def images(self) -> int:
        return self._settled[0] + sum(p.images for p in self._running.values())

    @property
    def people(self) -> int:
        return self._settled[1] + sum(p.people for p in self._running.values())

    @property
    def errors(self) -> int:
        return self._settled[2] + sum(p.errors for p in self._running.values())


class ProgressBar:
    """A tqdm bar on stderr: images, people, rate, time left, errors; in a log, a line every ten seconds.

    Args:
        quiet: say nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bar = None
        self._download = None
        self._tally = Tally()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        for bar in (self._download, self._bar):
            if bar is not None:
                bar.close()

    def stage(self, text: str) -> None:
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)

    def download(self, name: str, have: int, total: int | None) -> None:
        from tqdm import tqdm

        if self._quiet:
            return
        if self._download is None or self._download.desc != f"{name}: ":
            if self._download is not None:
                self._download.close()
            self._download = tqdm(total=total, desc=name, unit="B", unit_scale=True, unit_divisor=1024)
            self._download.initial = have
        self._download.update(have - self._download.n)

    def begin(self, total: int, done: int, people: int, errors: int) -> None:
        from tqdm import tqdm

        if self._quiet:
            return
        self._tally = Tally(done, people, errors)
        on_terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total,
            initial=done,
            unit="image",
            desc="annotating",
            smoothing=0.1,
            mininterval=0.2 if on_terminal else 10,
            dynamic_ncols=on_terminal,
        )

    def report(self, progress: Progress) -> None:
        if self._bar is None:
            return
        self._tally.add(progress)
        self._bar.set_postfix(people=self._tally.people, errors=self._tally.errors, refresh=False)
        self._bar.update(self._tally.images - self._bar.n)
