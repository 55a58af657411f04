"""Rows of another run under new settings: what their work is told to have cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from annotator.cli.run_report import to_json
from annotator.config import load_config
from annotator.runtime.derive import launch_from, settings_of
from annotator.runtime.progress import ProgressBar
from annotator.store import run_info
from annotator.store.schema import ModelRecord


def test_the_whole_plan_costs_what_its_rows_took(make_run, picture, people, tmp_path) -> None:
    """Not that times the number of images: records said nothing of how many were done."""
    base = make_run([picture(f"{n}.jpg", people([[0, 0, 9, 9]])) for n in range(5)]).commit()
    run_info.update(base.path, provenance=replace(base.provenance, detector=ModelRecord("detector")))
    given = {"out": str(tmp_path / "new"), "detector_threshold": 0.2}
    config = load_config(None, given, [], settings_of(str(base.path), given))
    ended = launch_from(config, str(base.path), ProgressBar(quiet=True))
    figures = to_json(ended, price_per_hour=3600)["efficiency"]
    assert figures["cost_of_plan"] == pytest.approx(figures["worker_seconds"])
    assert figures["images_per_second"] == pytest.approx(5 / figures["worker_seconds"])
