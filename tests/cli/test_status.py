"""What `annotator status` says of drivers is as old as it says."""

from __future__ import annotations

import json
import re
import sys

import pytest

from annotator.cli import main
from annotator.runtime.journal import Journal
from annotator.store.commit import ShardWriter


@pytest.mark.parametrize("as_json", [False, True])
def test_a_run_whose_logs_cannot_be_read_has_a_status_all_the_same(
    make_run, picture, monkeypatch, capsys, as_json: bool
) -> None:
    run = make_run([picture("a.jpg")]).commit()
    (run.path / "logs").symlink_to(run.path / "logs")
    monkeypatch.setattr(sys, "argv", ["annotator", "status", str(run.path), *["--json"][: int(as_json)]])
    with pytest.raises(SystemExit) as done:
        main()
    out = capsys.readouterr().out
    assert not done.value.code and "logs cannot be read (Too many" in out
    if as_json:
        assert json.loads(out)["images"] == 1
    else:
        assert "images   1 of 1" in out


@pytest.mark.parametrize("silent", [False, True])
def test_a_driver_that_was_killed_is_shown_with_the_age_of_its_last_sign(
    make_run, picture, monkeypatch, capsys, silent: bool
) -> None:
    run = make_run([picture("a.jpg")])
    with Journal(run.path, 1, 0):
        pass
    (sign,) = (run.path / "logs").glob("*.life.json")
    body = json.loads(sign.read_bytes())
    sign.write_text(json.dumps(body | {"ended": None, "written_at": body["written_at"] - 90}))
    monkeypatch.setattr("annotator.runtime.journal.SILENT_SECONDS", 15 if silent else 3600)
    monkeypatch.setattr(sys, "argv", ["annotator", "status", str(run.path)])
    with pytest.raises(SystemExit):
        main()
    out = capsys.readouterr().out
    if silent:
        assert "silent for" in out and "heard" not in out
    else:
        assert (found := re.search(r"0 images so far.*heard (\d+) s ago", out)), out
        assert 90 <= int(found[1]) < 3600


def test_verify_says_how_rows_that_fit_no_plan_are_made_anew(
    make_run, picture, people, monkeypatch, capsys
) -> None:
    run = make_run([picture("a.jpg", people([[1, 2, 30, 40]]))])
    images, instances = run.tables(0)
    assert ShardWriter(run.path, 0).commit(images, instances.slice(1), {}).won
    monkeypatch.setattr(sys, "argv", ["annotator", "verify", str(run.path)])
    with pytest.raises(SystemExit) as done:
        main()
    out = capsys.readouterr().out
    assert done.value.code == 1 and "has 0 instances, not 1" in out
    assert "move the last commit record of their shard away" in out and "`annotator retry`" in out
