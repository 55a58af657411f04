"""Decisions and corrections out of FiftyOne, as a new layer of the run; predictions stay what they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from annotator.errors import UserError
from annotator.review.corrected import corrected, last_hand
from annotator.review.documents import Document
from annotator.review.fields import KEYPOINTS, POSES
from annotator.review.fiftyone_process import import_fiftyone
from annotator.review.keep import alike
from annotator.review.layout import as_today, check_layout
from annotator.review.mirror import Mirror, mirror_of, to_fractions
from annotator.review.moments import iso
from annotator.review.nobody import OfNobody, is_of_nobody, labels_of_nobody
from annotator.review.pull_added import of_added
from annotator.review.send_back import SendBack, write_manifest
from annotator.review.workplace import Workplace, datasets_of
from annotator.store import reviews
from annotator.store.person_ids import is_added
from annotator.store.reader import Run
from annotator.store.reviews import Review, as_float32
from annotator.store.snapshot import Snapshot

# Samples that people touched: a load writes both times alike.
_CHANGED = {"$expr": {"$ne": ["$last_modified_at", "$loaded_at"]}}


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull brought.

    Attributes:
        layer: the new file; None when nothing was new.
        new: rows in it. decided, corrected, added: of them; `added` are of people whom reviewers added.
        decisions: people by decision, all layers together.
        broken: corrections that cannot be read, in the new layer.
        of_nobody: what was drawn in the App, which is no correction of anybody.
        unplaced: file names of pictures with people who were added, and none of whose joints was placed.
        send_back: the images to annotate again.
    """

    layer: Path | None
    new: int
    decided: int
    corrected: int
    added: int
    decisions: dict[str, int]
    broken: int
    of_nobody: OfNobody
    unplaced: tuple[str, ...]
    send_back: SendBack


def pull(run: Run, place: Workplace) -> Pulled:
    """Bring back what people decided and corrected since the last pull, and what other databases do not have.

    Raises:
        UserError: the run is not in this database.
    """
    fo = import_fiftyone(place)
    names = datasets_of(run, fo.core.odm.get_db_conn())
    if not names:
        raise UserError(
            f"{run.path} is not in this database; `annotator review load {run.path}` brings it there"
        )
    dataset = fo.load_dataset(names[0])
    check_layout(dataset)
    run = Snapshot(run)
    known = [row for file in reviews.layers(run) for row in reviews.read_layer(run, file)]
    pulled, unplaced = set(known), []
    found = _reviews(run, dataset._sample_collection, known, unplaced)
    new = [row for row in found if row not in pulled]
    layer = reviews.write_layer(run, new) if new else None
    merged = reviews.standing(reviews.merge([*known, *new]))
    decisions: dict[str, int] = {}
    for row in merged.values():
        if row.decision:
            decisions[row.decision] = decisions.get(row.decision, 0) + 1
    return Pulled(
        layer=layer,
        new=len(new),
        decided=sum(row.time is not None for row in new),
        corrected=sum(row.keypoints is not None and row.added_at is None for row in new),
        added=sum(row.added_at is not None and row.corrected_at is not None for row in new),
        decisions=decisions,
        broken=sum("broken" in row.flags for row in new),
        of_nobody=labels_of_nobody(dataset._sample_collection, _CHANGED),
        unplaced=tuple(unplaced),
        send_back=write_manifest(run, merged.values()),
    )


def _reviews(run: Snapshot, collection: Any, known: list[Review], unplaced: list[str]) -> Iterator[Review]:
    """What the samples that somebody touched say, shard by shard.

    Args:
        known: what was pulled before, from any database, in the order of the layers.
        unplaced: gets the file names of pictures as `Pulled` says.
    """
    touched = _touched(collection)
    before: dict[int, list[Review]] = defaultdict(list)
    for row in known:
        before[row.instance_id].append(row)
    mirror = mirror_of(run.skeleton)
    for record, images, instances in run.shards():
        documents = touched.get(record.shard, [])
        if not documents:
            continue
        sizes = {row["image_id"]: (row["width"], row["height"]) for row in images.to_pylist()}
        predicted = _predicted(instances)
        for identifier in documents:
            document = collection.find_one({"_id": identifier})
            size = sizes.get(document["image_id"])
            document = as_today(document, _lines(document, size, predicted, mirror), mirror)
            yield from _of_image(document, size, predicted, mirror, before)
            if size is not None:
                yield from of_added(document, size, mirror, before, unplaced)


def _touched(collection: Any) -> dict[int | None, list[Any]]:
    """Ids of the samples that changed after they were loaded, by shard."""
    found: dict[int | None, list[Any]] = {}
    for document in collection.find(_CHANGED, {"shard": 1, "index": 1}).sort("index", 1):
        # Somebody may have added pictures of her own to the dataset.
        found.setdefault(document.get("shard"), []).append(document["_id"])
    return found


def _predicted(instances: pa.RecordBatch) -> dict[int, np.ndarray]:
    """(K, 3) float32 of each person."""
    count = instances.num_rows
    xyv = instances["keypoints"].flatten().to_numpy().reshape(count, -1, 3) if count else []
    return dict(zip(instances["id"].to_pylist(), xyv, strict=True))


def _lines(
    document: Document, size: tuple[int, int] | None, predicted: dict[int, np.ndarray], mirror: Mirror
) -> dict[int, list]:
    """The lines of those of a sample's people who are predicted."""
    labels = (document.get(KEYPOINTS) or {}).get("keypoints") or ()
    rows = {label.get("person"): predicted.get(label.get("person")) for label in labels}
    return {
        person: mirror.to_lines(to_fractions(row[:, :2], np.array(size)))
        for person, row in rows.items()
        if row is not None and size is not None
    }


def _of_image(
    document: Document,
    size: tuple[int, int] | None,
    predicted: dict[int, np.ndarray],
    mirror: Mirror,
    before: dict[int, list[Review]],
) -> Iterator[Review]:
    poses = {pose.get("person"): pose for pose in (document.get(POSES) or {}).get("polylines") or ()}
    for label in (document.get(KEYPOINTS) or {}).get("keypoints") or ():
        if is_of_nobody(label) or is_added(label["person"]):
            continue
        person = label["person"]
        row, pose = predicted.get(person), poses.get(person)
        flags = _aged(label, row, size)
        correction: dict[str, Any] = {}
        if size is not None and row is not None:
            correction = _correction(label, pose, row, size, mirror, flags)
        earlier = before.get(person, [])
        if correction or "broken" in flags:
            by, at = last_hand(label)
            if at is None and (same := _the_same(earlier, correction, flags)):
                # Whoever touched the picture since then need not have touched this person.
                by, at = same.corrected_by, same.corrected_at
            correction |= {"corrected_by": by, "corrected_at": at or iso(document["last_modified_at"])}
        elif earlier:
            correction = _as_predicted(label, flags, reviews.merge(earlier)[person])
        review = Review(
            instance_id=person,
            image_id=document["image_id"],
            decision=label.get("decision"),
            reason=label.get("reason"),
            reviewer=label.get("reviewer"),
            time=iso(label.get("decided_at")),
            flags=tuple(flags),
            **correction,
        )
        if review.says_something:
            yield review


def _the_same(earlier: list[Review], correction: dict[str, Any], flags: list[str]) -> Review | None:
    """The first of a person's earlier reviews with this very correction."""
    keypoints, broken = correction.get("keypoints"), "broken" in flags
    same = (row for row in earlier if row.keypoints == keypoints and ("broken" in row.flags) == broken)
    return min(
        (row for row in same if row.corrected_at), key=lambda row: row.corrected_at or "", default=None
    )


def _as_predicted(label: Document, flags: list[str], was: Review) -> dict[str, Any]:
    """Who left a person as predicted after `was`, and when: a correction without joints, or nothing."""
    corrected = was.keypoints is not None or "broken" in was.flags
    since = was.corrected_at if corrected else was.latest
    by, at = last_hand(label)
    decided = iso(label.get("decided_at"))
    if (at or "") > (since or "") and (corrected or "stale" in was.flags):
        # Joints were put back where they had been, or are as visible as predicted.
        return {"corrected_by": by, "corrected_at": at}
    if was.keypoints is not None and at == was.corrected_at and "gone" not in flags:
        # The line that was dragged then was deleted, which is noted nowhere; the next load drew another. Of
        # equal times the later layer counts.
        return {"corrected_by": by, "corrected_at": at}
    if "broken" in was.flags and "gone" not in flags and (decided or "") > was.latest:
        # That a line was deleted is noted nowhere; whoever decides after that has seen the prediction.
        return {"corrected_by": label.get("reviewer"), "corrected_at": decided}
    if not corrected and was.corrected_at and was.corrected_at in (at, decided):
        # An earlier pull said so; without its time, flags of today would be older than it.
        return {"corrected_by": was.corrected_by, "corrected_at": was.corrected_at}
    return {}


def _aged(label: Document, row: np.ndarray | None, size: tuple[int, int] | None) -> list[str]:
    """Flags of a prediction that is another one than people saw, or is not there any more.

    A load says so of what it renews; the run may have changed after it.
    """
    stale = ["stale"] if label.get("stale") else []
    if row is None or size is None:
        return [*stale, "gone"]
    visible = row[:, 2]
    points = np.where(visible[:, None] > 0, to_fractions(row[:, :2], np.array(size)), np.nan)
    return stale if alike(label, {"points": points, "visible": visible}, size) else ["stale"]


def _correction(
    label: Document,
    pose: Document | None,
    row: np.ndarray,
    size: tuple[int, int],
    mirror: Mirror,
    flags: list[str],
) -> dict[str, Any]:
    """What was moved and set, and the prediction otherwise; empty when nothing was. Adds to `flags`."""
    found = corrected(label, pose, row, size, mirror)
    if found is None:
        flags.append("broken")
        return {}
    if found.outside:
        flags.append("outside")
    if not found.changed.any():
        return {}
    distance = np.linalg.norm(found.xyv[:, :2] - row[:, :2], axis=1)
    return {
        "keypoints": as_float32(found.xyv),
        "moved_joints": tuple(np.flatnonzero(found.changed).tolist()),
        "moved_by": as_float32(distance[found.changed]),
    }
