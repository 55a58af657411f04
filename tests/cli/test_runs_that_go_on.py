"""Verbs that read a run more than once while it goes on: all they tell is of the shards there at first."""

from __future__ import annotations

import json
import sys

import pytest

from annotator.cli import main
from annotator.store import reader
from annotator.store.reviews import Review, write_layer
from tests.quality.test_calibrate import pictures, truth


@pytest.mark.parametrize(
    "verb",
    [
        "export RUN --to TO --json",
        "export RUN --to TO --json --reviewed all",
        "export RUN --to TO --json --drop phantoms",
        "export RUN --format coco-results --to TO --json",
        "export RUN --format cvat --to TO --json",
        "report RUN --to TO --json",
        "report RUN --to TO --gt GT --json",
        "queue RUN --json",
        "queue RUN --gt GT --json",
        "queue RUN --reviews --json",
        "queue RUN --other RUN --json",
        "eval RUN --gt GT --json",
        "calibrate RUN --gt GT --to TO --json",
    ],
)
def test_a_shard_committed_between_two_passes_is_not_told_of(
    verb: str, make_run, tmp_path, monkeypatch, capsys
) -> None:
    run = make_run(pictures(count=60), 12).commit(0, 1)
    write_layer(run.open(), [Review(1, 1000, "accepted", None, "ann", "2026-01-01T10:00:00+00:00")])
    to, gt = tmp_path / "written", truth(tmp_path / "gt.json", [0, 1, 2], 60)
    places = {"RUN": str(run.path), "GT": str(gt), "TO": str(to)}
    monkeypatch.setattr(sys, "argv", ["annotator", *(places.get(word, word) for word in verb.split())])

    def told() -> tuple[dict, str]:
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert not ended.value.code, said.err
        written = to.read_text() if to.is_file() and verb.startswith("export") else ""
        return json.loads(said.out), written

    quiet = told()
    later, iter_records = iter((2, 3, 4)), reader.iter_records

    def going_on(place):
        found = list(iter_records(place))
        run.commit(next(later))
        return iter(found)

    monkeypatch.setattr(reader, "iter_records", going_on)
    assert told() == quiet
