"""Calls on a storage, where each is a request, and what a failed one means to a person."""

from __future__ import annotations

from threading import Barrier

import pytest

from annotator.errors import RunFailed
from annotator.locations import location
from annotator.store.object_storage import ObjectStorage
from annotator.store.storage import AT_A_TIME, many


def test_many_requests_are_under_way_at_a_time_and_answers_come_in_order() -> None:
    together = Barrier(AT_A_TIME, timeout=30)

    def call(thing: int) -> int:
        together.wait()
        return thing + 1

    things = list(range(2 * AT_A_TIME))
    assert list(many(ObjectStorage(location("s3://bucket/run")), call, things)) == [n + 1 for n in things]


@pytest.mark.parametrize("table", ["images", "commits"])
def test_something_else_in_the_place_of_a_folder_is_to_be_moved_away(make_run, picture, table) -> None:
    """Running again, as after other failures, would fail again."""
    run = make_run([picture("a.jpg")])
    (run.path / table).touch()
    with pytest.raises(RunFailed, match=rf"{table}.*something else is in its place.*move that away"):
        run.commit()
