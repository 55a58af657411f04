"""Samples into a dataset, as documents: 25 times as many a second as through FiftyOne's objects."""

from __future__ import annotations

import copy
import datetime
import random
from collections.abc import Sequence
from typing import Any

from annotator.errors import RunFailed
from annotator.review.documents import Document, stored
from annotator.review.fields import LINE
from annotator.review.keep import kept
from annotator.review.layout import as_today
from annotator.review.mirror import Mirror

# The one whose documents are written here, as pyproject.toml has it.
FIFTYONE = "1.22.1"
_ATTEMPTS = 5
_DUPLICATE = 11000  # MongoDB's code for an _id that is there already.


class Writer:
    """Puts samples into the collection of a dataset, which FiftyOne keeps for itself.

    Args:
        dataset: a FiftyOne dataset. now: of this load, to the millisecond.
        mirror: of the run's skeleton.
    """

    def __init__(self, dataset: Any, now: datetime.datetime, mirror: Mirror) -> None:
        self._collection = dataset._sample_collection
        self._dataset_id = dataset._doc.id
        self._now, self._mirror = now, mirror
        # Only the order of shuffled views depends on it.
        self._random = random.Random(0)

    def write(self, documents: Sequence[Document]) -> tuple[int, int]:
        """Insert those that are new, renew the predictions of the others; how many of each.

        Samples that nobody touched hold nothing but the last load: they are taken out and put in anew, which
        costs as little as the first time. The database decides sample by sample, so that whatever is touched
        meanwhile stays. Those take longer, after a look at what people did.
        """
        nobodys = {"$expr": {"$eq": ["$last_modified_at", "$loaded_at"]}}
        ids = [document["_id"] for document in documents]
        renewed = self._collection.delete_many({"_id": {"$in": ids}, **nobodys}).deleted_count
        touched = self._insert(documents)
        for document in touched:
            self._renew_one(document)
        return len(documents) - renewed - len(touched), renewed + len(touched)

    def _insert(self, documents: Sequence[Document]) -> list[Document]:
        """Insert all but those that are there; the latter."""
        from pymongo.errors import BulkWriteError

        now, identifier = self._now, self._dataset_id
        rows = [stored(document, identifier, self._random.random(), now) for document in documents]
        try:
            self._collection.insert_many(rows, ordered=False)
        except BulkWriteError as error:
            failures = error.details["writeErrors"]
            if any(failure["code"] != _DUPLICATE for failure in failures):
                raise
            return [documents[failure["index"]] for failure in failures]
        return []

    def _renew_one(self, document: Document) -> None:
        lines = {line["person"]: line["points"] for line in document["poses"]["polylines"]}
        lines |= {one["person"]: one[LINE] for one in document["keypoints"]["keypoints"] if LINE in one}
        for _ in range(_ATTEMPTS):
            old = self._collection.find_one({"_id": document["_id"]})
            match = {"_id": document["_id"], "last_modified_at": old["last_modified_at"]}
            changes = kept(as_today(old, lines, self._mirror), document)
            # It stays later than `loaded_at`: touched samples are looked at again at every load.
            changes["last_modified_at"] = self._now + datetime.timedelta(milliseconds=1)
            if self._collection.update_one(match, {"$set": changes}).matched_count:
                return
        raise RunFailed(f"{document['file_name']} changes in FiftyOne again and again; load again later")


def check(dataset: Any, example: Document) -> None:
    """Refuse to write what FiftyOne would write otherwise.

    Raises:
        RunFailed: it is another FiftyOne than the one whose documents these are.
    """
    import fiftyone as fo

    if not agrees(dataset, example):
        raise RunFailed(
            f"FiftyOne {fo.__version__} keeps its samples in another form than the one that is needed, "
            f"{FIFTYONE}, so nothing was loaded; `pip install fiftyone=={FIFTYONE}`, then load again"
        )


def agrees(dataset: Any, document: Document) -> bool:
    """Whether FiftyOne's own object makes the same document, keys and types, in the same place."""
    try:
        own = dataset._make_dict(_sample(document), include_id=True)
        ours = stored(document, dataset._doc.id, 0.5, datetime.datetime(2000, 1, 1))
        added = {"_id", "created_at", "last_modified_at"}
        return (
            _shape({k: v for k, v in own.items() if k not in added})
            == _shape({k: v for k, v in ours.items() if k not in added})
            and dataset._sample_collection.name == f"samples.{dataset._doc.id}"
        )
    except Exception:  # noqa: BLE001 - what is not FiftyOne's public interface changes in any way
        return False


def _sample(document: Document) -> Any:
    import fiftyone as fo

    # FiftyOne makes its objects in place of what it is given.
    own = copy.deepcopy({name: value for name, value in document.items() if name != "_id"})
    return fo.Sample.from_dict(own)


def _shape(value: Any) -> Any:
    """Keys and types of a document; None and absent are the same to FiftyOne."""
    if isinstance(value, dict):
        return {name: _shape(inner) for name, inner in sorted(value.items()) if inner is not None}
    if isinstance(value, list):
        return [_shape(inner) for inner in value]
    return type(value).__name__
