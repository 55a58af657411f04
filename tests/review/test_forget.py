"""An input that is forgotten leaves the review's database too, with what was decided about it."""

from __future__ import annotations

import shutil

from annotator.privacy.forget import forget
from annotator.review import decisions
from annotator.review.load import load
from annotator.review.pull import pull
from annotator.review.workplace import workplace
from annotator.store import reviews
from annotator.store.reader import Run
from annotator.store.verify import verify


def test_samples_of_a_forgotten_input_go_and_the_others_stay(run, place, fo) -> None:
    name = load(run.open(), place, quiet=True).dataset
    decided = fo.load_dataset(name).match({"index": {"$in": [1, 3]}})
    for sample in decided:
        sample.tags.append("looked at")
        sample.save()
    done = forget(str(run.path), ["1.png"], database_dir=str(place.database))
    assert (done.items, done.samples) == (1, 1)
    assert verify(run.path).ok
    dataset = fo.load_dataset(name)
    dataset.reload()
    assert sorted(dataset.values("index")) == [0, 2, 3, 4, 5]
    assert "looked at" in dataset.match({"index": 3}).first().tags

    # A load brings nothing of it back, and what it counts is what is left.
    assert load(run.open(), place, quiet=True).images == 5
    assert sorted(fo.load_dataset(name).values("index")) == [0, 2, 3, 4, 5]


def test_a_run_that_was_renamed_keeps_its_dataset_and_forgets_there_too(run, place, fo) -> None:
    dataset = fo.load_dataset(load(run.open(), place, quiet=True).dataset)
    decisions.decide(dataset, [3 << 12 | 1], reviews.ACCEPTED)
    # As of copies that lay beside the run.
    elsewhere = {"$set": {"filepath": "/run.review/copies/0.jpg"}}
    dataset._sample_collection.update_many({"index": {"$in": [0, 3]}}, elsewhere)
    final = run.path.with_name("final")
    run.path.rename(final)
    moved = workplace(final, str(place.database))
    assert pull(Run(final), moved).decisions == {"accepted": 1}
    # The copies of pictures have moved too: the samples are told.
    again = load(Run(final), moved, quiet=True)
    assert (again.dataset, again.new, again.renewed) == (dataset.name, 0, 6)
    dataset.reload()
    assert dataset.sort_by("index").values("filepath") == [f"/data/{n}.png" for n in range(6)]
    assert load(Run(final), moved, quiet=True).renewed == 0

    assert forget(str(final), ["3.png"], database_dir=str(place.database)).samples == 1
    dataset.reload()
    assert sorted(dataset.values("index")) == [0, 1, 2, 4, 5]


def test_a_copy_of_a_run_is_reviewed_for_itself(run, place, fo) -> None:
    """`cp -r RUN RUN-bob`, and one database for both."""
    bob = Run(shutil.copytree(run.path, run.path.with_name("run-bob")))
    his = workplace(bob.path, str(place.database))
    datasets = [fo.load_dataset(load(*of, quiet=True).dataset) for of in ((run.open(), place), (bob, his))]
    decisions.decide(datasets[0], [3 << 12 | 1], reviews.ACCEPTED)
    assert pull(bob, his).decisions == {}
    assert pull(run.open(), place).decisions == {"accepted": 1}
    assert forget(str(bob.path), ["3.png"], database_dir=str(place.database)).samples == 1
    for dataset, left in zip(datasets, (6, 5), strict=True):
        dataset.reload()
        assert len(dataset) == left
