"""What `annotator status` says of drivers is as old as it says."""

from __future__ import annotations

import json
import re
import sys

import pytest

from annotator.cli import main
from annotator.runtime.journal import Journal


@pytest.mark.parametrize(
    ("seconds", "said"), [(9, "0 images so far.*heard (9|10) s ago"), (60, "silent for")]
)
def test_a_driver_that_was_killed_is_shown_with_the_age_of_its_last_sign(
    make_run, picture, monkeypatch, capsys, seconds: int, said: str
) -> None:
    run = make_run([picture("a.jpg")])
    with Journal(run.path, 1, 0):
        pass
    (sign,) = (run.path / "logs").glob("*.life.json")
    body = json.loads(sign.read_bytes())
    sign.write_text(json.dumps(body | {"ended": None, "written_at": body["written_at"] - seconds}))
    monkeypatch.setattr(sys, "argv", ["annotator", "status", str(run.path)])
    with pytest.raises(SystemExit):
        main()
    out = capsys.readouterr().out
    assert re.search(said, out), out
