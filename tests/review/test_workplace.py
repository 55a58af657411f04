"""Which dataset is a run's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pymongo import MongoClient

from annotator.review.database import ADDRESS_VARIABLE
from annotator.review.database import database as open_database
from annotator.review.workplace import dataset_name, datasets_of, workplace
from annotator.store.reader import Run


@pytest.fixture
def database(fo):
    """FiftyOne's."""
    return fo.core.odm.get_db_conn()


@pytest.fixture
def made(run, fo):
    """The folder of a run, and the name of its dataset."""
    return run.path, dataset_from(run.path, fo)


def dataset_from(path: Path, fo) -> str:
    """An empty dataset that says it was loaded from this folder; its name."""
    dataset = fo.Dataset(dataset_name(Run(path), fo.list_datasets()))
    dataset.info["annotator"] = {"run": str(path)}
    dataset.save()
    return dataset.name


def test_a_renamed_run_is_known_by_its_key(made, database, tmp_path) -> None:
    path, name = made
    run = Run(path.rename(tmp_path / "final"))
    assert datasets_of(run, database) == [name] != [dataset_name(run)]
    # Another run has taken its place.
    path.mkdir()
    (path / "run.json").write_text((run.path / "run.json").read_text().replace("2026-01-01", "2026-01-02"))
    assert datasets_of(run, database) == [name]
    assert datasets_of(Run(path), database) == []


def test_a_link_to_a_run_is_that_run(made, database, tmp_path) -> None:
    path, name = made
    (tmp_path / "link").symlink_to(path)
    assert datasets_of(Run(tmp_path / "link"), database) == [name]


@pytest.mark.parametrize("place", ["run-bob", "bob/run"])
def test_a_copy_has_a_dataset_of_its_own(made, database, fo, tmp_path, place: str) -> None:
    path, name = made
    copy = Run(shutil.copytree(path, tmp_path / place))
    assert datasets_of(copy, database) == []
    own = dataset_from(copy.path, fo)
    assert own != name
    assert datasets_of(copy, database) == [own]
    assert datasets_of(Run(path), database) == [name]
    (path / "run.json").write_text("{")
    assert datasets_of(copy, database) == [own]
    # With the first one gone, its dataset goes with the copy that is left, whose own comes first.
    shutil.rmtree(path)
    assert datasets_of(copy, database) == [own, name]


def test_a_copy_that_took_the_database_along_has_its_review(run, tmp_path, monkeypatch) -> None:
    """`cp -a RUN RUN.review /disk2`, and the first one stays where it is."""
    monkeypatch.delenv(ADDRESS_VARIABLE, raising=False)
    copy = Run(shutil.copytree(run.path, tmp_path / "disk2" / "run"))
    rows = [{"name": dataset_name(copy), "info": {"annotator": {"run": str(run.path)}}}]
    with open_database(workplace(copy.path).database) as address, MongoClient(address) as client:
        client["fiftyone"].datasets.insert_many(rows)
        assert datasets_of(copy, client["fiftyone"]) == [dataset_name(copy)]
