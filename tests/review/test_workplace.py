"""Which dataset is a run's."""

from __future__ import annotations

from annotator.review.workplace import dataset_name, datasets_of
from annotator.store.reader import Run


def test_a_dataset_is_known_by_the_key_of_its_run(make_run, picture) -> None:
    made = make_run([picture("0.jpg")]).commit()
    name = dataset_name(made.open())
    final = made.path.with_name("final")
    made.path.rename(final)
    run = Run(final)
    others = ["final", "run-00000000", f"{name}-copy"]
    assert datasets_of(run, [*others, name]) == [name] != [dataset_name(run)]
    assert datasets_of(run, others) == []
    # Of several the one with the folder's name comes first.
    assert datasets_of(run, ["a" + name, name, dataset_name(run)]) == [dataset_name(run), "a" + name, name]
