"""What a person should know about a plan: things left out or set aside, with counts."""

from __future__ import annotations

from collections import Counter


class Notes:
    """Collects remarks while a plan is built."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._skipped: Counter[str] = Counter()

    def say(self, line: str) -> None:
        """Add a sentence."""
        self._lines.append(line)

    def skip(self, kind: str, count: int = 1) -> None:
        """Count a file of a folder that is no input; `kind` is its suffix or another short reason."""
        self._skipped[kind] += count

    @property
    def skipped(self) -> str:
        """The skipped files by kind, most frequent first, such as "12 .txt, 3 .mp4"; "" for none."""
        ranked = sorted(self._skipped.items(), key=lambda pair: (-pair[1], pair[0]))
        shown = [f"{count:,} {kind}" for kind, count in ranked[:12]]
        if len(ranked) > 12:
            shown.append(f"{sum(count for _, count in ranked[12:]):,} of {len(ranked) - 12} other kinds")
        return ", ".join(shown)

    def lines(self) -> tuple[str, ...]:
        """Everything said, the skipped files last."""
        skipped = self.skipped
        return (*self._lines, *([f"skipped in folders: {skipped}"] if skipped else []))
