"""Rows as documents that the database takes."""

from __future__ import annotations

import datetime
import os
from dataclasses import replace

import bson
import numpy as np
import pytest

from annotator.errors import ItemError
from annotator.review.documents import Extras, documents
from annotator.review.identifiers import Identifiers
from annotator.review.mirror import mirror_of
from annotator.skeletons import COCO_17
from annotator.store.snapshot import Snapshot
from annotator.uris import to_uri


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", "café.jpg".encode()])
def test_a_file_name_of_any_bytes_can_be_stored(make_run, picture, name: bytes) -> None:
    """A picture that cannot be read has no copy: what the App is told is where it was."""
    path = "/data/" + os.fsdecode(name)
    uri = to_uri(path)
    made = make_run([picture("0.jpg", ItemError("decode", "truncated", "the file ends early"), size=None)])
    made.items = [replace(made.items[0], uri=uri)]
    made.commit()
    _, images, instances = next(Snapshot(made.open()).shards())
    extras = Extras(np.zeros(0, np.float32), np.zeros(0, bool))
    now = datetime.datetime(2026, 1, 1)
    (document,) = documents(images, instances, extras, Identifiers(b"abc"), mirror_of(COCO_17), now)
    bson.encode(document)
    assert document["filepath"] == uri
