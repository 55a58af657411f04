"""The reviewer's plugin, put where FiftyOne looks for plugins."""

from __future__ import annotations

import shutil
from pathlib import Path

from annotator.errors import UserError

SOURCE = Path(__file__).with_name("plugin")
NAME = "pose-annotator-review"


def install(plugins: Path) -> Path:
    """Copy the plugin into a folder of plugins; a copy of another version is replaced.

    Raises:
        UserError: the folder cannot be written.
    """
    target = plugins / NAME
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file in SOURCE.iterdir():
            if file.is_file() and not _same(file, target / file.name):
                shutil.copyfile(file, target / file.name)
    except OSError as error:
        raise UserError(f"cannot install the review plugin in {plugins}: {error.strerror}") from None
    return target


def _same(file: Path, other: Path) -> bool:
    return other.is_file() and file.read_bytes() == other.read_bytes()
