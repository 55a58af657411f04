"""What users install is part of what is tested, and nothing that only tests need is in it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    found = [re.match(r"([a-z0-9._-]+)==(\S+)", line) for line in lines if line and not line.startswith(" ")]
    assert all(found)
    return {pin[1]: pin[2] for pin in found if pin}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[=<>; ]", requirement)[0].lower() for requirement in requirements}


def test_the_locks_agree():
    users, developers = pins("requirements.lock"), pins("requirements-dev.lock")
    assert users.items() <= developers.items()


def test_each_lock_holds_what_it_is_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    users, developers = pins("requirements.lock").keys(), pins("requirements-dev.lock").keys()
    assert names(project["dependencies"]) <= users
    extra = names(project["optional-dependencies"]["dev"])
    assert extra <= developers
    assert not extra & users
