"""A run's rows into FiftyOne: new samples in, predictions renewed, what people decided left alone."""

from __future__ import annotations

import contextlib
import datetime
import gc
import hashlib
import json
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from annotator.errors import UserError
from annotator.review import annotation, copies, fields, layout, moments, plugin_folder, views
from annotator.review.added import bring_back
from annotator.review.documents import Document, Extras, documents
from annotator.review.fiftyone_process import import_fiftyone
from annotator.review.identifiers import Identifiers
from annotator.review.mirror import Mirror, mirror_of
from annotator.review.risk import Risk, assess
from annotator.review.tags import tags_of
from annotator.review.truth import RunTruth, read_truth
from annotator.review.workplace import Workplace, dataset_name, datasets_of
from annotator.review.writing import Writer, check
from annotator.store import reviews
from annotator.store.reader import Run
from annotator.store.review_folder import run_key
from annotator.store.snapshot import Snapshot

_BATCH = 2000


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load did.

    Attributes:
        dataset: its name in FiftyOne.
        images, people: in the run's committed rows that were loaded.
        new, renewed: samples inserted, samples whose predictions were written again.
        left_out: frames and pictures that no browser shows and that are beyond the limit of copies.
        unreadable: pictures whose source is gone or changed, so that no copy could be made.
        matched: images found in the ground truth; None without one.
        brought_back: people whom reviewers added, as layers have them, who were not in this database.
        no_truth: why the ground truth of an earlier load is not shown any more; None if it is, or was not.
        seconds: it took.
    """

    dataset: str
    images: int
    people: int
    new: int
    renewed: int
    left_out: int
    unreadable: int
    matched: int | None
    brought_back: int
    no_truth: str | None
    seconds: float


def load(
    run: Run,
    place: Workplace,
    gt: str | None = None,
    max_copies: int = copies.MAX_COPIES,
    quiet: bool = False,
) -> Loaded:
    """Load a run, finished or not, into its dataset; again, after it went on, to renew what changed.

    Memory: one shard, two batches of samples, some 20 bytes a person, and the people whom reviewers added.

    Args:
        gt: COCO keypoint file to show beside the predictions; None keeps that of an earlier load while it
            can be read.
        max_copies: how many frames of films and pictures that browsers cannot show get a JPEG beside the run,
            beside those that have a sample already.
        quiet: no progress bar.

    Raises:
        UserError: no rows yet, no database, or an unusable `gt`.
        RunFailed: as `writing.check`; no sample was touched.
    """
    began = time.monotonic()
    run = Snapshot(run)
    records = run.committed()
    if not records:
        raise UserError(f"{run.path}: nothing was committed yet; `annotator run` goes on with it")
    fo = import_fiftyone(place)
    plugin_folder.install(Path(fo.config.plugins_dir))
    names = datasets_of(run, fo.core.odm.get_db_conn())
    dataset = fo.load_dataset(names[0]) if names else None
    about = {}
    if dataset is not None:
        layout.check_layout(dataset)
        about = dataset.info.get("annotator") or {}
    truth, no_truth = _truth(run, gt, about.get("gt"))
    gt = gt or about.get("gt")
    here = {"run": str(run.path.absolute())}
    if dataset is None:
        dataset = fo.Dataset(dataset_name(run, fo.list_datasets()), persistent=True)
        dataset.media_type = "image"
        # Said before there are samples: whose they are must be known when this load is cut off.
        dataset.info["annotator"] = here
        dataset.save()
    layout.retype(dataset)
    fields.declare(dataset, truth is not None)
    # Copies of pictures lie beside the run: where it has moved, samples are told so.
    state = here | {
        "state": _state(records, gt if truth else None, max_copies),
        "layout": layout.LAYOUT,
        "gt": str(Path(gt).absolute()) if gt else None,
    }
    done = _Done()
    if any(about.get(name) != state[name] for name in ("state", "run")):
        with _no_search_for_cycles():
            done = _write(run, dataset, truth, max_copies, quiet)
        _index(dataset, fields.sortable(truth is not None))
        fields.dress(dataset, run, truth is not None)
        views.save(dataset, truth is not None)
        annotation.prepare(dataset)
        dataset.info["annotator"] = state | {"counts": done.counts()}
        dataset.save()
    brought_back = bring_back(dataset, reviews.read_added(run).values(), run.skeleton)
    counts = dataset.info["annotator"]["counts"]
    return Loaded(
        dataset=dataset.name,
        images=counts["images"],
        people=counts["people"],
        new=done.new,
        renewed=done.renewed,
        left_out=counts["left_out"],
        unreadable=counts["unreadable"],
        matched=truth.matched if truth else None,
        brought_back=brought_back,
        no_truth=no_truth,
        seconds=time.monotonic() - began,
    )


@dataclass(slots=True)
class _Done:
    images: int = 0
    people: int = 0
    new: int = 0
    renewed: int = 0
    left_out: int = 0
    unreadable: int = 0

    def add(self, new: int, renewed: int) -> None:
        self.new += new
        self.renewed += renewed

    def counts(self) -> dict[str, int]:
        names = ("images", "people", "left_out", "unreadable")
        return {name: getattr(self, name) for name in names}


def _truth(run: Run, gt: str | None, earlier: str | None) -> tuple[RunTruth | None, str | None]:
    """The ground truth, or why that of an earlier load, which nobody asked for now, cannot be had."""
    if gt:
        return read_truth(run, gt), None
    try:
        return read_truth(run, earlier) if earlier else None, None
    except UserError as error:
        return None, str(error)


def _state(records: dict[int, Any], gt: str | None, max_copies: int) -> str:
    """What the dataset is made from, as a hash: equal means that there is nothing to do."""
    parts = [
        layout.LAYOUT,
        max_copies,
        sorted(fields.signals()),
        [(s, r.attempt) for s, r in sorted(records.items())],
    ]
    if gt:
        file = Path(gt).stat()
        parts += [str(Path(gt).absolute()), file.st_size, file.st_mtime_ns]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _without_indexes(dataset: Any, paths: Iterable[str]) -> None:
    for path in set(dataset.list_indexes()) & set(paths):
        dataset.drop_index(path)


def _index(dataset: Any, paths: Iterable[str]) -> None:
    """All in one pass over the samples; FiftyOne makes one pass for each."""
    from pymongo import IndexModel

    orders = [[(path, 1)] for path in paths]
    dataset._sample_collection.create_indexes([IndexModel(order) for order in [*orders, list(views.ORDER)]])


@contextlib.contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Documents are millions of lists without cycles: looking for some took most of the time of a load."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        (gc.enable if was_on else gc.disable)()


def _write(run: Snapshot, dataset: Any, truth: RunTruth | None, max_copies: int, quiet: bool) -> _Done:
    from tqdm import tqdm

    # Database and Python agree on milliseconds only.
    now = moments.now()
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    done = _Done()
    total = sum(record.images for record in run.committed().values())
    risk = assess(run)
    shown = copies.make(run, risk.risk, max_copies, quiet, partial(_places, dataset))
    done.unreadable = len(shown.unreadable)
    mirror = mirror_of(run.skeleton)
    out, writing = Writer(dataset, now, mirror), None
    with (
        tqdm(total=total, unit="image", desc="loading", disable=quiet, mininterval=_interval()) as bar,
        ThreadPoolExecutor(1) as writers,
    ):
        for batch in _batches(run, risk, truth, shown, mirror, now, done, bar):
            if writing is None:
                check(dataset, max(batch, key=lambda document: document["num_people"]))
                # Each sample renewed would move its people in two dozen indexes: they are built anew later.
                _without_indexes(dataset, fields.sortable(truth is not None))
            else:
                # The database writes one batch while the next one is made.
                done.add(*writing.result())
            writing = writers.submit(out.write, batch)
        if writing is not None:
            done.add(*writing.result())
    return done


def _places(dataset: Any) -> set[int]:
    """Places in the plan of the samples that are there."""
    return {document["index"] for document in dataset._sample_collection.find({}, {"index": 1})}


def _interval() -> float:
    return 0.2 if sys.stderr.isatty() else 10


def _batches(
    run: Snapshot,
    risk: Risk,
    truth: RunTruth | None,
    shown: copies.Copies,
    mirror: Mirror,
    now: datetime.datetime,
    done: _Done,
    bar: Any,
) -> Iterator[list[Document]]:
    """Documents of all rows, some thousands at a time."""
    identifiers = Identifiers(run_key(run.info))
    begin, batch = 0, []
    for record, images, instances in run.shards():
        of = slice(begin, begin + instances.num_rows)
        begin = of.stop
        oks, labels = truth.compare(images, instances, identifiers) if truth else (None, None)
        extras = Extras(risk.risk[of], risk.needs_review[of], oks, labels, shown.paths, tags_of(record))
        for document in documents(images, instances, extras, identifiers, mirror, now):
            if document["index"] in shown.left_out:
                done.left_out += 1
                continue
            done.images += 1
            done.people += document["num_people"]
            batch.append(document)
        bar.update(images.num_rows)
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
