"""Which items of a shard to be careful with: suspects run alone, and the guilty are not run again.

A worker's death condemns nobody by itself. What it was working on becomes suspect and runs one by one from
then on; an item that is then alone in a process that dies is condemned: it becomes an error row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from annotator.errors import ItemError


class Cause(StrEnum):
    """How a worker ended. `explained` ends are of its own doing; the others may come from outside.

    CRASHED left a native stack trace, HUNG was ended by us for lack of progress, MEMORY by Ray's memory
    monitor. KILLED left no trace: the kernel's out-of-memory killer, a person, `os._exit`. LOST and NODE say
    nothing about what it was working on: the connection or the whole machine went away.
    """

    CRASHED = "crashed"
    HUNG = "hung"
    MEMORY = "out_of_memory"
    KILLED = "killed"
    LOST = "lost"
    NODE = "node"

    @property
    def explained(self) -> bool:
        """The process ended itself, so what it was working on may well be the reason."""
        return self in (Cause.CRASHED, Cause.HUNG, Cause.MEMORY)

    @property
    def blames(self) -> bool:
        """What it was working on becomes suspect."""
        return self not in (Cause.LOST, Cause.NODE)


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a worker.

    Attributes:
        cause: how it ended.
        detail: for a person, such as "Segmentation fault in imdecode (image.py:80)".
    """

    cause: Cause
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Care:
    """How to treat the items of a shard; both by index in the plan.

    Attributes:
        suspects: run alone in the process, one after the other, before the others.
        condemned: not run at all; the error becomes the row.
    """

    suspects: frozenset[int] = frozenset()
    condemned: Mapping[int, ItemError] = field(default_factory=dict)


@dataclass(slots=True)
class _Case:
    """What is known of one item: deaths of processes that were working on it, and the verdict."""

    deaths: int = 0
    alone: int = 0  # of these without explanation, while it was the only one
    kind: str | None = None
    message: str = ""


class Ledger:
    """The cases of all shards of a run.

    Args:
        unexplained: deaths without a trace that condemn an item that was alone each time. More than the one
            that an explained death takes: who kills workers from outside may hit an innocent twice.
    """

    def __init__(self, unexplained: int = 3) -> None:
        self._unexplained = unexplained
        self._cases: dict[int, dict[int, _Case]] = {}

    def care(self, shard: int) -> Care:
        """How the next attempt at `shard` has to treat its items."""
        cases = self._cases.get(shard)
        if not cases:
            return _NO_CARE
        return Care(
            frozenset(index for index, case in cases.items() if case.kind is None),
            {
                index: ItemError("worker", case.kind, case.message)
                for index, case in cases.items()
                if case.kind is not None
            },
        )

    def suspects(self, shard: int) -> int:
        """How many items of `shard` have to run alone."""
        return sum(case.kind is None for case in self._cases.get(shard, {}).values())

    def blame(self, death: Death, in_flight: Mapping[int, Iterable[int]], alone: bool) -> set[int]:
        """Take in what a dead process was working on.

        Args:
            in_flight: indices of items by shard.
            alone: the process was working on one item only, whatever the shard.

        Returns:
            Shards about which something was learned: a new suspect, a condemnation, or one more unexplained
            death of an item alone.
        """
        learned: set[int] = set()
        if not death.cause.blames:
            return learned
        for shard, index in ((shard, index) for shard, indices in in_flight.items() for index in indices):
            case = self._cases.setdefault(shard, {}).setdefault(index, _Case())
            if case.kind is not None:
                continue
            case.deaths += 1
            if case.deaths == 1:
                learned.add(shard)
            if alone:
                case.alone += not death.cause.explained
                if (death.cause.explained and case.deaths > 1) or case.alone >= self._unexplained:
                    case.kind, case.message = death.cause.value, _verdict(death, case.deaths)
                learned.add(shard)
        return learned

    def close(self, shard: int) -> None:
        """Forget a shard that is committed."""
        self._cases.pop(shard, None)

    def to_json(self, shard: int) -> dict[str, Any]:
        """What is known of a shard, for the next driver."""
        return {str(index): asdict(case) for index, case in sorted(self._cases.get(shard, {}).items())}

    def load(self, shard: int, document: Mapping[str, Any]) -> None:
        """The inverse of `to_json`.

        Raises:
            ValueError, TypeError: not what `to_json` gives.
        """
        self._cases[shard] = {int(index): _Case(**case) for index, case in document.items()}

    def __repr__(self) -> str:
        return f"Ledger({json.dumps({shard: self.to_json(shard) for shard in sorted(self._cases)})})"


_NO_CARE = Care()

_WORDS = {
    Cause.CRASHED: "crashed",
    Cause.HUNG: "stopped making progress",
    Cause.MEMORY: "ran out of memory",
    Cause.KILLED: "vanished without a trace",
}


def _verdict(death: Death, deaths: int) -> str:
    reason = f": {death.detail}" if death.detail else ""
    words = _WORDS[death.cause]
    return f"{deaths} workers died working on it, the last with nothing else at hand: it {words}{reason}"
