"""An input that is forgotten leaves the review's database too, with what was decided about it."""

from __future__ import annotations

from annotator.privacy.forget import forget
from annotator.review.load import load
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
