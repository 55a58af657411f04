"""Where a review lives on disk: beside the run, which holds nothing but its published tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from annotator.store.locations import review_folder
from annotator.store.reader import Run


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folders of one run's review.

    Attributes:
        root: `RUN.review`, beside the run.
        database: data of mongod; elsewhere with `--database-dir`.
        copies: JPEGs of what a browser cannot show as it is: frames of films, HEIC, TIFF and the like.
        plugins: what FiftyOne loads its plugins from.
    """

    root: Path
    database: Path
    copies: Path
    plugins: Path


def workplace(run_dir: str | Path, database_dir: str | None = None) -> Workplace:
    """The workplace of a run; nothing is created.

    Args:
        database_dir: where the database's data are, instead of beside the run. Each run needs its own.
    """
    root = review_folder(run_dir)
    database = Path(database_dir).absolute() if database_dir else root / "database"
    return Workplace(root, database, root / "copies", root / "plugins")


def run_key(run: Run) -> bytes:
    """20 bytes that tell this run from every other, and stay when its folder is moved or copied."""
    info = run.info
    text = f"{info.provenance.plan_sha256} {info.provenance.config_sha256} {info.started_at}"
    return hashlib.sha1(text.encode(), usedforsecurity=False).digest()


def dataset_name(run: Run) -> str:
    """What a new dataset of the run is called: its folder's name, for people, and a part of its key."""
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in run.path.absolute().name)[:60]
    return name + _ending(run)


def datasets_of(run: Run, names: Iterable[str]) -> list[str]:
    """The run's datasets among all `names` in a database, whatever its folder was called when they were made.

    There is one at most, unless copies of the run share the database; that of the folder's name comes first.
    """
    own = dataset_name(run)
    return sorted(
        (name for name in names if name.endswith(_ending(run))), key=lambda name: (name != own, name)
    )


def _ending(run: Run) -> str:
    return f"-{run_key(run).hex()[:8]}"
