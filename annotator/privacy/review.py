"""What a review keeps in RUN.review, beside the run: copies of pictures, samples in FiftyOne's database."""

from __future__ import annotations

import os
from collections.abc import Collection

from annotator.errors import UserError
from annotator.review.database import ADDRESS_VARIABLE, NAME_VARIABLE, database
from annotator.review.workplace import datasets_of, workplace
from annotator.store.reader import Run
from annotator.store.review_folder import copies_of

_AT_ONCE = 10_000


def remove_copies(run: Run, indices: Collection[int]) -> int:
    """Remove the copies of items, by their places in the plan, and those that may show them; how many."""
    copies = copies_of(run.path, run.info, indices)
    for path in copies:
        path.unlink(missing_ok=True)
    return len(copies)


def remove_samples(run: Run, indices: Collection[int], database_dir: str | None = None) -> int:
    """Remove the samples of items from the run's datasets, with all decisions on them; returns how many.

    Args:
        database_dir: of the review's database, where it is not beside the run.

    Raises:
        UserError: there is a database, and it cannot be reached.
    """
    place = workplace(run.path, database_dir)
    if not (place.database.is_dir() or os.environ.get(ADDRESS_VARIABLE)):
        return 0
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    # Not by ids: those of the slow way of loading are FiftyOne's own.
    places, removed = sorted(indices), 0
    try:
        with database(place.database) as address, MongoClient(address) as client:
            known = client[os.environ.get(NAME_VARIABLE) or "fiftyone"]
            names = datasets_of(run, known)
            for dataset in known.datasets.find({"name": {"$in": names}}):
                samples = known[dataset["sample_collection_name"]]
                for start in range(0, len(places), _AT_ONCE):
                    some = {"$in": places[start : start + _AT_ONCE]}
                    removed += samples.delete_many({"index": some}).deleted_count
    except PyMongoError as error:
        raise UserError(f"the review's database in {place.database} does not answer: {error}") from error
    return removed
