"""Folders of empty files: a plan never opens a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def touch(tmp_path) -> Callable[..., Path]:
    """touch("a/1.jpg", ...) makes files below tmp_path and returns that folder."""

    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


@pytest.fixture
def write_json() -> Callable[[Path, object], str]:
    def write(path: Path, value: object) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
        return str(path)

    return write
