"""Where a review lives on disk: beside the run, which holds nothing but its published tables."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from annotator.errors import AnnotatorError
from annotator.review.database import data_folder
from annotator.store import run_info
from annotator.store.reader import Run
from annotator.store.review_folder import review_folder, run_key


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folders of one run's review.

    Attributes:
        root: `RUN.review`, beside the run.
        database: data of mongod; elsewhere with `--database-dir`.
        plugins: what FiftyOne loads its plugins from.
    """

    root: Path
    database: Path
    plugins: Path


def workplace(run_dir: str | Path, database_dir: str | None = None) -> Workplace:
    """The workplace of a run; nothing is created.

    Args:
        database_dir: where the database's data are, instead of beside the run. Each run needs its own.
    """
    root = review_folder(run_dir)
    database = Path(database_dir).absolute() if database_dir else root / "database"
    return Workplace(root, database, root / "plugins")


def dataset_name(run: Run, taken: Collection[str] = ()) -> str:
    """What a new dataset of the run is called: its folder's name, for people, and a part of its key.

    Args:
        taken: names of other datasets; a copy of the run may lie in a folder of the same name.
    """
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in run.path.absolute().name)[:60]
    names = (name + (f"-{n}" if n > 1 else "") + _ending(run) for n in count(1))
    return next(name for name in names if name not in taken)


def datasets_of(run: Run, database: Any) -> list[str]:
    """Names of the run's datasets, whatever its folder was called when it was loaded; this folder's first.

    What was loaded from another folder is of this run, renamed, unless the run is still there too: then one
    is a copy of the other, and each has a dataset of its own. That of a copy may have been copied with it, in
    RUN.review.

    Args:
        database: of pymongo, with FiftyOne's collections.
    """
    wanted = {"name": {"$regex": f"{_ending(run)}$"}}
    found = database.datasets.find(wanted, {"name": 1, "info.annotator.run": 1})
    here = str(run.path.absolute())
    # A load that did not get far enough to say where from has nothing that anybody could have decided on.
    folders = {row["name"]: row.get("info", {}).get("annotator", {}).get("run", here) for row in found}
    names = [name for name, folder in folders.items() if not _is_copy(run, folder)]
    if not names and data_folder(database.client) == str(workplace(run.path).database):
        names = list(folders)
    return sorted(names, key=lambda name: (folders[name] != here, name))


def _is_copy(run: Run, folder: str) -> bool:
    """Whether another folder of this machine holds this very run."""
    try:
        Path(folder, run_info.FILE_NAME).stat()
        return not Path(folder).samefile(run.path) and run_key(Run(folder).info) == run_key(run.info)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, AnnotatorError):
        return True  # What cannot be read is not known to be gone.


def _ending(run: Run) -> str:
    return f"-{run_key(run.info).hex()[:8]}"
