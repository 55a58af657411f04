"""What a person sees of a run: a bar while it works, a summary when it is done."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

from annotator.runtime.job import Progress

if TYPE_CHECKING:
    from annotator.runtime.launch import RunReport


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
    """A tqdm bar on stderr: images, people, rate, time left, errors; in a log, a line every ten seconds."""

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

        if self._download is None or self._download.desc != f"{name}: ":
            if self._download is not None:
                self._download.close()
            self._download = tqdm(
                total=total, desc=name, unit="B", unit_scale=True, unit_divisor=1024, disable=self._quiet
            )
            self._download.initial = have
        self._download.update(have - self._download.n)

    def begin(self, total: int, done: int, people: int, errors: int) -> None:
        from tqdm import tqdm

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
            disable=self._quiet,
        )

    def report(self, progress: Progress) -> None:
        self._tally.add(progress)
        if self._bar is None:
            return
        self._bar.set_postfix(people=self._tally.people, errors=self._tally.errors, refresh=False)
        self._bar.update(self._tally.images - self._bar.n)


def describe(report: RunReport) -> str:
    """The end of a run as a person reads it, with what to do next."""
    totals, run = report.totals, report.run
    lines = [
        "",
        f"{run}: {'done' if report.images else 'finished before, nothing left to do'}.",
        f"  {totals.images:,} images: {totals.ok:,} with people, {totals.empty:,} without, "
        f"{totals.error:,} errors.",
        f"  {totals.people:,} people, {report.confident:,} of them with a box score of 0.3 or more.",
    ]
    if report.images:
        lines.append(
            f"  {report.images:,} images in {duration(report.seconds)}: "
            f"{report.images / report.seconds:.1f} images/s, {report.people / report.seconds:.1f} people/s. "
            f"Workers' time: {_shares(report.stages)}."
        )
    lines += [f"  {note}" for note in report.notes]
    if totals.errors:
        lines.append("  Errors (their rows in images/ say more):")
        for kind, count in totals.errors.items():
            lines.append(f"  {count:>9,}  {kind:<24} e.g. {report.examples.get(kind, '')}".rstrip())
    lines += [
        "",
        "Next:",
        f"  annotator report {run}",
        f"  annotator verify {run}",
        f"  annotator export {run} --format coco --to annotations.json",
        f"  annotator eval {run} --gt COCO.json",
    ]
    return "\n".join(lines)


def _shares(stages: dict[str, float]) -> str:
    total = sum(stages.values())
    if total <= 0:
        return "not measured"
    return ", ".join(f"{name} {100 * seconds / total:.0f}%" for name, seconds in stages.items())


def duration(seconds: float) -> str:
    """A time span as a person says it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
