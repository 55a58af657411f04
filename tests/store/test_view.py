"""Runs read through others: what each leaves out is left out, in whatever order they are put together."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from annotator.store.reader import Run
from annotator.store.snapshot import Snapshot
from annotator.store.view import View


class Without(View):
    """A run without one of its pictures, and without one of its people."""

    def __init__(self, run: Run, picture: str, person: int) -> None:
        super().__init__(run, images=["file_name"], instances=["id"])
        self._left_out = {"images": ("file_name", picture), "instances": ("id", person)}

    def _changed(self, table: str, batch: pa.RecordBatch) -> pa.RecordBatch:
        name, value = self._left_out[table]
        return batch.filter(pa.array([other != value for other in batch[name].to_pylist()], pa.bool_()))


@pytest.fixture
def run(make_run, picture, people) -> Run:
    """Three pictures of one person each, in two shards."""
    return make_run([picture(f"{n}.jpg", people([[0, 0, 9, 9 + n]])) for n in range(3)]).commit().open()


def values(batches: Iterator[pa.RecordBatch], name: str) -> list:
    return [value for batch in batches for value in batch[name].to_pylist()]


@pytest.mark.parametrize("frozen", [False, True])
def test_a_view_of_a_view_leaves_out_what_both_do(run, frozen: bool) -> None:
    first, second, third = values(run.instances(), "id")
    view = Without(Without(Snapshot(run) if frozen else run, "0.jpg", first), "2.jpg", third)
    assert values(view.instances(), "id") == values(view.instances(["id"]), "id") == [second]
    assert values(view.images(), "file_name") == ["1.jpg"]


def test_a_snapshot_of_a_view_is_of_its_rows(run) -> None:
    first, second, third = values(run.instances(), "id")
    snapshot = Snapshot(Without(run, "2.jpg", third))
    assert values(snapshot.instances(["id"]), "id") == [first, second]
    shards = [(len(images), len(people)) for _, images, people in snapshot.shards()]
    assert shards == [(2, 2), (0, 0)]


def test_readers_get_the_columns_that_they_ask_for_and_the_same_metadata(run) -> None:
    there, here = (next(one.instances(["score", "image_id"])) for one in (run, Without(run, "", -1)))
    assert here == there and here.schema.names == ["score", "image_id"]
    assert here.schema.metadata == there.schema.metadata


def test_the_plan_is_read_once(run) -> None:
    assert Without(run, "", -1).plan is run.plan
