"""What an export has written, and what it left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from annotator.export.doubtful import KINDS


@dataclass(slots=True)
class Exported:
    """Counts of what was written; they grow while it is.

    Attributes:
        path: of the file. images, people: entries in it.
        errors: images left out because they have no result (an image without people would say: nobody there).
        below_score: people left out by `min_score`.
        no_joints: people left out because the format knows people by joints alone, and none is labelled.
        no_file: images left out because the format needs a file for each: frames of videos.
        no_name: images left out because the format cannot hold their names: control characters in XML.
        unreadable: frames left out of a film because they have a result but cannot be read any more.
        no_picture: images written without the picture asked for: frames of videos, files that cannot be read
            and, where the format links to files of this machine, those in a bucket.
        not_accepted: reviewed images left out because somebody in them was not accepted, and the format
            cannot say that a person is not labelled.
        doubtful: how many of the people written the run itself doubts, by `doubtful.KINDS`.
    """

    path: Path
    images: int = 0
    people: int = 0
    errors: int = 0
    below_score: int = 0
    no_joints: int = 0
    no_file: int = 0
    no_name: int = 0
    unreadable: int = 0
    no_picture: int = 0
    not_accepted: int = 0
    doubtful: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))

    def add_people(self, doubts: Iterable[Collection[str]]) -> None:
        """Count people who are written, by the kinds of doubt that the run has of each."""
        for kinds in doubts:
            self.people += 1
            for kind in kinds:
                self.doubtful[kind] += 1

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self) | {"path": str(self.path)}
