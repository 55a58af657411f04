"""What `verify` found, kept small however much is wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

# Examples kept of each kind of problem, so that a report of a broken run stays small.
EXAMPLES = 20

STRAY = "no part of this run; whoever reads the folder will take it for one"

# Kinds of problems that make the rows of a shard count as lost.
DAMAGES = ("lost-file", "damaged", "unreadable", "corrupt-commit")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        kind: a short stable name: missing, doubled, foreign, orphan, mismatch, stray, corrupt-commit ...
        where: file or shard.
        message: what is wrong, for a person.
    """

    kind: str
    where: str
    message: str


@dataclass(slots=True)
class Report:
    """What `verify` found.

    Attributes:
        planned: items in the plan. images, instances: rows seen in committed shards.
        missing: planned items without a row. doubled: items with more than one.
        shards, shards_done: planned and committed.
        counts: problems by kind, all of them.
        problems: the first `EXAMPLES` of each kind.
        forgotten: items that were taken out of the run: nothing of them is left, or a problem says what.
        leftovers: files of attempts that did not win; `sweep` removes those of attempts that can win no more.
        kept: those of them that may be the last good rows of damaged shards; they are to be left alone.
    """

    planned: int = 0
    images: int = 0
    instances: int = 0
    missing: int = 0
    doubled: int = 0
    shards: int = 0
    shards_done: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    leftovers: int = 0
    kept: int = 0
    forgotten: int = 0

    @property
    def ok(self) -> bool:
        """Every planned item has exactly one row, and nothing is wrong with any row or file."""
        return not self.counts

    @property
    def damages(self) -> int:
        """Problems by which rows count as lost."""
        return sum(self.counts[kind] for kind in DAMAGES)

    def add(self, kind: str, where: str, message: str) -> None:
        """Record a problem."""
        self.counts[kind] += 1
        if self.counts[kind] <= EXAMPLES:
            self.problems.append(Problem(kind, where, message))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self) | {"ok": self.ok, "counts": dict(self.counts)}
