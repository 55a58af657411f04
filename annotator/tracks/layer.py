"""The pass over a run whose shards are all committed: people are followed, tracks become part of the rows.

Who belongs to which track depends on the predictions alone, and a track is called by the id of its first
instance. So a pass that died is simply made again: shards whose tracks are right already are left alone, the
others get a new generation with `track_id` filled and nothing else changed, and a `tracks` file with the
tracks that begin in them.

A shard without a `tracks` file (first made, or made again by a retry) says that its films are to be followed
anew. It is committed after all other shards of its films: as long as one of them may be out of date, the
sign stands.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from annotator.errors import RunFailed
from annotator.store.commit import ShardWriter
from annotator.store.reader import Run
from annotator.store.records import CommitRecord
from annotator.store.schema import METADATA_KEY, TRACKS, parse_metadata
from annotator.tracks.film import follow_film
from annotator.tracks.films import Film, FilmShard, film_shards, films_of
from annotator.tracks.link import LinkSettings
from annotator.tracks.people import FramePeople


@dataclass(slots=True)
class _Followed:
    """What following one film found out about one shard of it.

    Attributes:
        ids, tracks: (N,) int64, instances and their tracks.
        begun: rows of `tracks` that begin in the shard.
    """

    ids: np.ndarray
    tracks: np.ndarray
    begun: list[dict]


def follow_run(run: Run, say: Callable[[str], None] = lambda text: None) -> int:
    """Follow the people of all films that need it, and commit their tracks; returns how many films.

    Nothing is done for a run without videos, one that was started without following, or one whose tracks
    stand already. Memory: one shard, and for one film at a time some 50 bytes a person and frame.

    Another driver may do the same beside this one: where it has replaced rows that were being read here, this
    begins once more with what stands now, which leaves nothing to do once the other is through.

    Args:
        say: hears what is going on, in words.

    Raises:
        RunFailed: rows cannot be read or written; running again goes on.
    """
    films = films_of(run.plan) if run.info.config.get("track") else []
    while films:
        records = run.committed()
        if lost := {shard for film in films for shard in film.shards} - records.keys():
            # Another driver found its rows damaged, and put its record aside.
            raise RunFailed(f"{run.place}: shard {min(lost)} is committed no more; run again to make it anew")
        try:
            return _follow_films(run, records, films, say)
        except RunFailed:
            if run.committed() == records:
                raise
    return 0


def _follow_films(
    run: Run, records: dict[int, CommitRecord], films: list[Film], say: Callable[[str], None]
) -> int:
    """Those of some films that need it; how many these are."""
    new = {shard for film in films for shard in film.shards if "tracks" not in records[shard].files}
    films = [film for film in films if not new.isdisjoint(film.shards)]
    links = LinkSettings(most_seconds=run.info.run_config.track_gap)
    pass_ = _Pass(run, records, films, new)
    for number, film in enumerate(films):
        say(f"following people: film {number + 1:,} of {len(films):,}")
        pass_.take(film, _follow(run, records, film, links))
    return len(films)


def _follow(
    run: Run, records: dict[int, CommitRecord], film: Film, links: LinkSettings
) -> dict[int, _Followed]:
    """The tracks of one film, by shard."""
    parts: list[FilmShard] = []

    def frames() -> Iterator[FramePeople]:
        for part in film_shards(run, records, film):
            parts.append(replace(part, frames=[]))
            yield from part.frames

    found = list(follow_film(frames(), np.array(run.skeleton.sigmas), links=links))
    number = np.concatenate([*found, np.zeros(0, np.int64)])
    ids = np.concatenate([part.ids for part in parts])
    known = np.flatnonzero(number >= 0)
    _, first, track, counts = np.unique(
        number[known], return_index=True, return_inverse=True, return_counts=True
    )
    names = ids[known[first]]
    tracks = np.full(len(ids), -1, np.int64)
    tracks[known] = names[track]
    frame = np.concatenate([part.frame_numbers for part in parts])
    last = np.zeros(len(names), np.int64)
    np.maximum.at(last, track, frame[known])
    score = np.bincount(track, np.concatenate([part.scores for part in parts])[known], len(names)) / counts
    rows = [
        {
            "id": int(name),
            "video_uri": film.uri,
            "first_frame": int(frame[known[first[row]]]),
            "last_frame": int(last[row]),
            "num_instances": int(counts[row]),
            "score": float(score[row]),
        }
        for row, name in enumerate(names)
    ]
    splits = np.cumsum([len(part.ids) for part in parts])[:-1]
    return {
        shard: _Followed(
            mine, called, [row for row in rows if len(mine) and mine[0] <= row["id"] <= mine[-1]]
        )
        for shard, mine, called in zip(
            film.shards, np.split(ids, splits), np.split(tracks, splits), strict=True
        )
    }


class _Pass:
    """Shards wait here until all films in them are followed, and then are committed in the right order."""

    def __init__(self, run: Run, records: dict[int, CommitRecord], films: list[Film], new: set[int]) -> None:
        self._run, self._records, self._new = run, records, new
        self._awaited: dict[int, set[str]] = {}
        self._films_of: dict[int, list[Film]] = {}
        for film in films:
            for shard in film.shards:
                self._awaited.setdefault(shard, set()).add(film.uri)
                self._films_of.setdefault(shard, []).append(film)
        self._found: dict[int, dict[str, _Followed]] = {}

    def take(self, film: Film, found: dict[int, _Followed]) -> None:
        """Take in a film's tracks, and commit whatever can be."""
        for shard, followed in found.items():
            self._found.setdefault(shard, {})[film.uri] = followed
            self._awaited[shard].discard(film.uri)
        # Shards that had tracks before come first: see the top of this file.
        for shard in sorted(self._found, key=lambda shard: (shard in self._new, shard)):
            if self._may_commit(shard):
                self._commit(shard, self._found.pop(shard))
                del self._awaited[shard]

    def _may_commit(self, shard: int) -> bool:
        if self._awaited[shard]:
            return False
        others = {other for film in self._films_of[shard] for other in film.shards}
        return shard not in self._new or others.isdisjoint(self._awaited.keys() - self._new)

    def _commit(self, shard: int, found: dict[str, _Followed]) -> None:
        record = self._records[shard]
        instances = self._run.proven_rows_of(record, "instances")
        ids, tracks = instances["id"].to_numpy(), instances["track_id"].fill_null(-1).to_numpy().copy()
        standing = self._run.proven_rows_of(record, "tracks") if "tracks" in record.files else None
        begun = [] if standing is None else [
            row for row in standing.to_pylist() if row["video_uri"] not in found
        ]  # fmt: skip
        for followed in found.values():
            tracks[np.searchsorted(ids, followed.ids)] = followed.tracks
            begun += followed.begun
        begun.sort(key=lambda row: row["id"])
        rows = _tracks_table(begun, instances.schema)
        column = pa.array(tracks, pa.int64(), mask=tracks < 0)
        if (
            standing is not None
            and standing.equals(rows)
            and instances["track_id"].combine_chunks().equals(column)
        ):
            return
        place = instances.schema.get_field_index("track_id")
        instances = instances.set_column(place, instances.schema.field(place), column)
        images = self._run.proven_rows_of(record, "images")
        writer = ShardWriter(self._run.place, shard, record.generation + 1)
        outcome = writer.commit(images, instances, record.stats, rows)
        if not outcome.won and outcome.record.files.keys() != {"images", "instances", "tracks"}:
            raise RunFailed(f"shard {shard} was changed by another program meanwhile; run again")


def _tracks_table(rows: list[dict], instances: pa.Schema) -> pa.Table:
    document = parse_metadata(instances, "the instances") | {"table": "tracks"}
    table = pa.Table.from_pylist(rows, schema=TRACKS)
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(document, sort_keys=True).encode()})
