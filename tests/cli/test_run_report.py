"""What the end of a run says on the terminal."""

from __future__ import annotations

from annotator.cli.run_report import describe
from annotator.runtime.efficiency import efficiency_of
from annotator.runtime.run_report import RunReport
from annotator.store.status import Summary


def test_people_a_second_are_those_kept_and_it_says_so() -> None:
    """With `--nms drop` fewer are kept than posed, and the efficiency is about all of them."""
    totals = Summary("finished", 4, 1, 1, 4, 4, 0, 0, 20)
    stats = [{"posed": 40, "people": 20, "images": 4, "seconds": 10.0, "alone_pose": 5.0}]
    ended = RunReport(
        "run", totals, 4, 20, 10.0, {}, 20, 0, (), {}, efficiency=efficiency_of(stats), finished=True
    )
    said = describe(ended)
    assert "0.4 images/s, 2.0 people/s kept." in said
    assert "of the networks alone (8.0 people/s a worker)" in said
