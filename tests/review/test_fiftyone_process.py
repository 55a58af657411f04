"""One process knows one database of FiftyOne: the run's, or a clear refusal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from annotator.errors import RunFailed
from annotator.review.database import database
from annotator.review.fiftyone_process import import_fiftyone
from annotator.review.workplace import workplace

SCRIPT = """
import fiftyone
from annotator.errors import RunFailed
from annotator.review.fiftyone_process import import_fiftyone
from annotator.review.workplace import workplace

def folder(fiftyone):
    client = fiftyone.core.odm.get_db_client()
    return client.admin.command("getCmdLineOpts")["parsed"]["storage"]["dbPath"]

first, second = workplace("first"), workplace("second")
before = fiftyone.config.database_uri
fo = import_fiftyone(first)
print(before, folder(fo), fo.config.plugins_dir)
try:
    import_fiftyone(second)
except RunFailed as error:
    print(error)
assert import_fiftyone(first) is fo
"""


def test_somebody_imported_fiftyone_before(tmp_path) -> None:
    """Its settings were read then; the run's database and plugins are used all the same."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FIFTYONE_")}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env=environment, text=True, capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    database = tmp_path / "first.review" / "database"
    assert said[0] == f"None {database} {tmp_path / 'first.review' / 'plugins'}"
    assert f"reviews with {database}" in said[1] and "second.review" in said[1]
    assert not (tmp_path / ".fiftyone" / "var").exists() and not (tmp_path / "second.review").exists()


def test_fiftyone_is_connected_elsewhere(fo, tmp_path, monkeypatch) -> None:
    """A run whose database is not the one that this process's FiftyOne works with is refused, not misled."""
    for name in ("database_uri", "plugins_dir"):
        monkeypatch.setattr(fo.config, name, getattr(fo.config, name))
    monkeypatch.delenv("FIFTYONE_DATABASE_URI")
    with database(tmp_path / "other") as uri:
        monkeypatch.setenv("FIFTYONE_DATABASE_URI", uri)
        with pytest.raises(RunFailed, match="another database already"):
            import_fiftyone(workplace(tmp_path / "run"))
