"""The run folder before any work."""

from __future__ import annotations

import pytest

from annotator.errors import UserError
from annotator.runtime.destination import check_writable


def test_a_new_folder_is_made(tmp_path):
    assert check_writable(str(tmp_path / "a" / "run")) is None
    assert (tmp_path / "a" / "run").is_dir()


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="holds other files"):
        check_writable(str(tmp_path))


def test_a_run_that_has_lost_its_run_json_is_not_called_something_to_empty(make_run, picture):
    made = make_run([picture("a.jpg")]).commit()
    (made.path / "run.json").unlink()
    with pytest.raises(UserError, match=r"has no run\.json; if it was lost, put a copy of it"):
        check_writable(str(made.path))


def test_what_a_start_killed_in_its_first_moment_leaves_is_no_obstacle(tmp_path):
    (tmp_path / ".run-0123456789abcdef.json.tmp").touch()
    assert check_writable(str(tmp_path)) is None


@pytest.mark.parametrize("out", ["s3://KEY:SECRET@bucket/run", "s3://bucket/run?X-Amz-Signature=SECRET"])
def test_credentials_in_a_url_are_refused_and_not_repeated(out):
    with pytest.raises(UserError) as caught:
        check_writable(out)
    assert "SECRET" not in str(caught.value)
    assert "environment" in str(caught.value)


def test_a_whole_bucket_is_no_run_folder():
    with pytest.raises(UserError, match="whole bucket"):
        check_writable("s3://bucket/")


@pytest.mark.parametrize("out", ["https://host/run", "file:///data/run", "hdfs://name/run"])
def test_an_address_that_is_no_object_store_makes_no_folder_of_its_name(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="names no place that can be written"):
        check_writable(out)
    assert not list(tmp_path.iterdir())
