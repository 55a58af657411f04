"""Calls on a storage, where each is a request."""

from __future__ import annotations

from threading import Barrier

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
