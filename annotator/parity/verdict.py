"""What a comparison found, what it may be at most, and the verdict over a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison.

    Attributes:
        layer: "preprocessing", "network", "decoding" or "people".
        name: what was compared, unique among a model's findings.
        value: the difference; NaN when something that is not finite came out on one side only.
        limit: the largest difference that counts as equal.
        unit: of both.
    """

    layer: str
    name: str
    value: float
    limit: float
    unit: str

    @property
    def ok(self) -> bool:
        """Whether both sides are equal as far as this comparison tells."""
        return math.isfinite(self.value) and self.value <= self.limit

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form; a difference that is not finite is null."""
        return {
            "layer": self.layer,
            "name": self.name,
            "value": self.value if math.isfinite(self.value) else None,
            "limit": self.limit,
            "unit": self.unit,
            "ok": self.ok,
        }


@dataclass(frozen=True)
class Verdict:
    """One model.

    Attributes:
        name: of the model.
        codec: how its keypoints are encoded, or its head where no codec counts.
        weights: name of the file, or "random".
        compared: how many crops, or people of whole images.
        findings: all comparisons made.
        notes: what they do not cover.
        error: why none could be made.
    """

    name: str
    codec: str = ""
    weights: str = ""
    compared: int = 0
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = field(default=())
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether anything was compared, and all of it is equal."""
        return self.error is None and bool(self.findings) and all(finding.ok for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return {
            "name": self.name,
            "codec": self.codec,
            "weights": self.weights,
            "compared": self.compared,
            "ok": self.ok,
            "findings": [finding.to_dict() for finding in self.findings],
            "notes": list(self.notes),
            "error": self.error,
        }


def table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts for people, lines of at most 118 characters."""
    lines = []
    for verdict in verdicts:
        head = f"{verdict.name} ({verdict.codec}), weights: {verdict.weights}, {verdict.compared} compared"
        lines.append(f"{'ok  ' if verdict.ok else 'FAIL'}  {head if verdict.error is None else verdict.name}")
        for finding in verdict.findings:
            sign = "" if finding.ok else "  <- differs"
            lines.append(
                f"      {finding.layer:<14} {finding.name:<34} {finding.value:>9.2g}  "
                f"(at most {f'{finding.limit:g} {finding.unit}'.rstrip()}){sign}"
            )
        lines += [f"      {note}" for note in verdict.notes]
        if verdict.error is not None:
            lines.append(f"      {verdict.error}")
    failed = sum(not verdict.ok for verdict in verdicts)
    equal = len(verdicts) - failed
    lines += [
        "",
        f"{equal} of {len(verdicts)} models equal MMPose" + (f", {failed} do not" if failed else ""),
    ]
    return "\n".join(lines)
