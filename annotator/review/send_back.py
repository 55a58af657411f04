"""The images that reviewers sent back, as a manifest that `annotator run` annotates again.

Of a frame it names the copy, and beside it the `source`: film and frame.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from annotator.store.durable import replace_file
from annotator.store.reader import Run
from annotator.store.review_folder import copies_folder
from annotator.store.reviews import FOLDER, SENT_BACK, Review

FILE_NAME = "send-back.csv"


@dataclass(frozen=True, slots=True)
class SendBack:
    """What is to be annotated again.

    Attributes:
        manifest: the file; None without images.
        images: in it.
        without_copy: frames of films that cannot be in it: it names pictures, and there is none of them.
    """

    manifest: Path | None
    images: int
    without_copy: int


def write_manifest(run: Run, reviews: Iterable[Review]) -> SendBack:
    """List the images in which somebody was sent back, whoever did it; an old list goes if there are none.

    Args:
        reviews: of the run, merged.
    """
    wanted: dict[int, list[str]] = {}
    for review in reviews:
        if review.decision == SENT_BACK:
            wanted.setdefault(review.image_id, []).append(str(review.instance_id))
    copies = copies_folder(run.path, run.info)
    rows, without_copy = [], 0
    for batch in run.images(["index", "image_id", "uri", "video_uri"]) if wanted else ():
        for row in batch.to_pylist():
            if row["image_id"] not in wanted:
                continue
            uri = row["uri"]
            if row["video_uri"] is not None:
                uri = str(copies / f"{row['index']}.jpg")
                if not Path(uri).is_file():
                    without_copy += 1
                    continue
            rows.append([uri, row["image_id"], row["uri"], " ".join(wanted[row["image_id"]])])
    path = run.path / FOLDER / FILE_NAME
    if not rows:
        path.unlink(missing_ok=True)
        return SendBack(None, 0, without_copy)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["uri", "image_id", "source", "people"], *rows])
    path.parent.mkdir(exist_ok=True)
    replace_file(path, text.getvalue().encode("utf-8", "surrogateescape"))
    return SendBack(path, len(rows), without_copy)
