"""The documentation as a reader meets it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_picture_is_shown_and_every_picture_shown_is_there() -> None:
    shown = {
        (page.parent / link).resolve()
        for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
        for link in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text())
    }
    assert shown == set((ROOT / "docs" / "images").resolve().iterdir())
