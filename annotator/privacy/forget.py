"""`annotator forget`: an input and everything made from it leave a run; all other rows stay, ids included.

Each step can be made again, so a process that dies on the way costs nothing: a mark in the run folder says
that forgetting is under way, `verify` reports it, and the same command goes on.

1. Shards that hold rows of the input get a new generation without them, by the same commit as any other.
2. Reviews of its people go, with their samples and copies in RUN.review, then the report and the card, then
   what logs quote.
3. The plan loses its rows. Numbers of items are not given again: the others keep index, ids and shard.
4. run.json says how many items are gone and which numbers they had, not what they were called.
5. Files of superseded generations and of dead attempts are removed, and the mark last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from annotator.errors import RunFailed, UserError
from annotator.privacy.layers import read_layers, rewrite_layers
from annotator.privacy.matching import Matcher
from annotator.privacy.review import remove_copies, remove_samples
from annotator.privacy.texts import Names, scrub_logs
from annotator.runtime.journal import at_work
from annotator.store import run_info
from annotator.store.commit import ShardWriter
from annotator.store.durable import failures_in_words
from annotator.store.leftovers import generations_begun, sweep
from annotator.store.parquet import proven_rows
from annotator.store.plan import TableRows, hash_rows, read_plan
from annotator.store.plan_file import save_plan
from annotator.store.reader import Run
from annotator.store.records import CommitRecord
from annotator.store.recovery import lost_rows
from annotator.store.run_info import FORGETTING, Forgotten
from annotator.store.schema import completed
from annotator.store.status import summarise

# What is made from all rows, and can be made again.
DERIVED = ("report.html", "README.md", "reviews/send-back.csv")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was forgotten.

    Attributes:
        inputs, items, people: pictures and films; their rows; the people in them.
        shards: that were written anew.
        reviews: rows of review layers. samples, copies: of the review in FiftyOne, beside the run.
        removed: derived files, to be made again.
        left: files in the run folder that nothing here has made and that name an input still.
    """

    inputs: int
    items: int
    people: int
    shards: int
    reviews: int
    samples: int
    copies: int
    removed: tuple[str, ...]
    left: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self)


def forget(
    run_dir: str,
    patterns: Sequence[str],
    say: Callable[[str], None] = lambda text: None,
    database_dir: str | None = None,
) -> Outcome:
    """Take inputs out of a finished run.

    Args:
        patterns: as `Matcher` takes them.
        say: hears what is going on, in words.
        database_dir: of the review's database, where it is not beside the run.

    Raises:
        UserError: no finished run, a driver is at work on it, no input is meant, a review layer is damaged,
            or the review's database cannot be reached.
        RunFailed: something cannot be read or written, or another program changes the run; running again goes
            on.
    """
    if not patterns or not all(pattern.strip() for pattern in patterns):
        raise UserError("forget needs --source: the name of an input, of a folder, or a pattern in quotes")
    with failures_in_words(run_dir):
        summary = summarise(run_dir)
        if not summary.complete:
            raise UserError(f"{run_dir} is not finished: finish it first, or delete the folder")
        if at_work(run_dir):
            raise UserError(f"a driver is at work on {run_dir}; wait until it has ended")
        return _Forgetting(run_dir, patterns, say, database_dir).carry_out()


class _Forgetting:
    def __init__(
        self, run_dir: str, patterns: Sequence[str], say: Callable[[str], None], database_dir: str | None
    ) -> None:
        self._run, self._say, self._database_dir = Run(run_dir), say, database_dir
        self._storage = self._run.storage
        self._patterns = sorted({*patterns, *self._begun_before()})
        self._matcher = Matcher(self._patterns)
        self._names: set[str] = set(self._begun_before())
        self._inputs: set[str] = set()
        self._ids = [np.zeros(0, np.int64)]
        self._indices: set[int] = set()
        self._people = 0

    def _begun_before(self) -> list[str]:
        try:
            return list(json.loads(self._storage.read(FORGETTING))["patterns"])
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError):
            raise RunFailed(f"{self._run.place}/{FORGETTING} is damaged: write the patterns anew") from None

    def carry_out(self) -> Outcome:
        self._find()
        if not self._inputs and not self._begun_before():
            raise UserError(
                f"no input of {self._run.place} is called {' or '.join(self._patterns)}; names are as in the "
                "columns uri and file_name of images"
            )
        begun = bool(self._begun_before())
        layers = read_layers(
            self._run, "what was begun stays unfinished" if begun else "nothing was forgotten"
        )
        self._storage.replace(FORGETTING, json.dumps({"patterns": self._patterns}).encode())
        shards = self._rewrite_shards()
        reviews = rewrite_layers(self._storage, layers, np.unique(np.concatenate(self._ids)))
        samples = copies = 0
        if not self._storage.remote:
            samples = remove_samples(self._run, self._indices, self._database_dir)
            copies = remove_copies(self._run, self._indices)
        removed = tuple(name for name in DERIVED if self._remove(name))
        names = Names(self._names)
        scrub_logs(self._storage, names)
        self._rewrite_plan(names)
        if at_work(self._run.place):
            raise RunFailed(
                f"a driver began on {self._run.place} meanwhile, so what was begun stays unfinished: wait "
                "until it has ended, then run this again"
            )
        if lost := lost_rows(self._run.place, self._run.committed()):
            raise RunFailed(
                f"rows of {len(lost)} shards of {self._run.place} are lost, so what was begun stays "
                "unfinished: make them whole (`annotator retry`), then run this again"
            )
        sweep(self._run.place)
        left = tuple(self._left(names))
        self._storage.remove(FORGETTING)
        inputs, items = len(self._inputs), len(self._indices)
        return Outcome(inputs, items, self._people, shards, reviews, samples, copies, removed, left)

    def _find(self) -> None:
        """From the plan, and from rows in case an earlier attempt has changed the plan already."""
        self._say("looking for it ...")
        for table in self._run.plan.tables():
            self._take(table)
        columns = ["index", "image_id", "uri", "file_name", "video_uri", "num_instances"]
        for batch in self._run.images(columns):
            mask = self._take(batch)
            self._people += int(batch.column("num_instances").to_numpy()[mask].sum())

    def _take(self, table: pa.Table | pa.RecordBatch) -> np.ndarray:
        mask = self._matcher.rows(table)
        if mask.any():
            found = table.filter(pa.array(mask))
            self._indices.update(found.column("index").to_pylist())
            self._ids.append(found.column("image_id").to_numpy())
            for uri, file_name in self._matcher.names(found):
                self._inputs.add(uri)
                self._names |= {uri, file_name}
        return mask

    def _rewrite_shards(self) -> int:
        """New generations without the rows, of the shards that hold any.

        Others get one too where an attempt at it was begun: it may hold the rows, and so can win no more.
        """
        done, records = 0, self._run.committed()
        begun = generations_begun(self._storage)
        for shard, record in records.items():
            images = self._read(record, "images")
            gone = self._matcher.rows(images)
            if not gone.any() and begun.get(shard, 0) <= record.generation:
                continue
            done += 1
            self._say(f"shard {shard}: {gone.sum():,} of {len(gone):,} rows go")
            ids = images["image_id"].to_numpy()[gone]
            instances = self._read(record, "instances")
            kept = ~np.isin(instances["image_id"].to_numpy(), ids)
            tracks = None
            if "tracks" in record.files:
                tracks = self._read(record, "tracks")
                films = [film not in self._inputs for film in tracks["video_uri"].to_pylist()]
                tracks = tracks.filter(pa.array(films, pa.bool_()))
            outcome = ShardWriter(self._run.place, shard, record.generation + 1).commit(
                images.filter(pa.array(~gone)),
                instances.filter(pa.array(kept)),
                record.stats,
                tracks,
                may_be_empty=True,
            )
            if not outcome.won:
                raise RunFailed(
                    f"shard {shard} of {self._run.place} was changed by another program meanwhile, so what "
                    "was begun stays unfinished: wait until the other has ended, then run this again"
                )
        return done

    def _read(self, record: CommitRecord, table: str) -> pa.Table:
        try:
            return completed(proven_rows(self._storage, record.files[table]), table)
        except (pa.ArrowException, OSError) as error:
            raise RunFailed(
                f"{self._run.place}/{record.files[table].name} cannot be read ({error}), so what was "
                "begun stays unfinished. `annotator verify` names what is wrong; mend it, then run this again"
            ) from error

    def _remove(self, name: str) -> bool:
        try:
            self._storage.size(name)
        except FileNotFoundError:
            return False
        self._storage.remove(name)
        return True

    def _rewrite_plan(self, names: Names) -> None:
        plan, shards = self._run.plan, len(self._run.plan.shards)
        kept = [table.filter(pa.array(~self._matcher.rows(table))) for table in plan.tables()]
        whole = pa.concat_tables(kept)
        starts = np.searchsorted(whole["shard"].to_numpy(), np.arange(shards + 1)).tolist()
        sha256 = hash_rows(TableRows(whole), plan.shard_size, starts)
        total = self._run.info.items + len(self._run.info.forgotten or ())
        gone = Forgotten.of(np.setdiff1d(np.arange(total), whole["index"].to_numpy()))
        config = dict(self._run.info.config)
        inputs = [text for text in config["inputs"] if not (self._matcher(text) or text in self._names)]
        config["inputs"] = inputs or ["(forgotten)"]
        failure = self._run.info.failure
        if len(whole) < len(plan):
            about = {
                "shard_size": plan.shard_size,
                "sha256": sha256,
                "duplicates": plan.duplicates,
                "notes": [note for note in plan.notes if not names.in_text(note)],
                "starts": starts,
            }
            save_plan(self._run.place, about, (table for table in kept if len(table)))
        run_info.update(
            self._run.place,
            config=config,
            items=len(whole),
            failure="" if failure and names.in_text(failure) else failure,
            forgotten=Forgotten(gone.ranges, read_plan(self._run.place).sha256),
        )

    def _left(self, names: Names) -> list[str]:
        """Other files in the run folder that name it: this program did not write them."""
        found = []
        if not names.searchable:
            return found
        for name in self._storage.names(""):
            if name == FORGETTING or name == run_info.FILE_NAME:
                continue
            try:
                text = self._storage.read(name).decode(errors="replace")
            except OSError:
                continue  # a folder
            if names.in_text(text):
                found.append(name)
        return sorted(found)
