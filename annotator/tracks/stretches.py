"""What a shard holds of a film, with as much before and behind it as has a say in how it is smoothed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from annotator.store.reader import Run
from annotator.store.records import CommitRecord
from annotator.store.schema import PERSON_BITS
from annotator.tracks.films import Film, frames_of

# Frames of context on either side of what is smoothed at once; farther ones have no say any more.
CONTEXT = 64


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a film: M frames, N followed people in them.

    Attributes:
        frames: rows of `images`. people: rows of `instances` with a track.
        row: (N,) int64, the frame of each. numbers: (N,) int64, the track of each, from 0.
        mine: (M,) bool, frames that are wanted and no context.
    """

    frames: pa.Table
    people: pa.Table
    row: np.ndarray
    numbers: np.ndarray
    mine: np.ndarray


class ShardTables:
    """Tables of shards, read once while they are in use."""

    def __init__(self, run: Run, records: dict[int, CommitRecord]) -> None:
        self._run, self._records = run, records
        self._held: dict[int, tuple[pa.Table, pa.Table]] = {}

    def read(self, shard: int) -> tuple[pa.Table, pa.Table]:
        """Images and instances of a shard."""
        if shard not in self._held:
            record = self._records[shard]
            tables = self._run.rows_of(record, "images"), self._run.rows_of(record, "instances")
            self._held[shard] = tables
        return self._held[shard]

    def forget_before(self, start: int, shard: int) -> None:
        """Let go of shards that no later one needs as context."""
        frames = 0
        for held in sorted((number for number in self._held if number <= shard), reverse=True):
            if frames >= CONTEXT or held < start:
                del self._held[held]
            else:
                frames += self._held[held][0].num_rows


def stretch_in(reader: ShardTables, film: Film, shard: int) -> Stretch:
    """The frames of a film in a shard, with context."""
    chosen = {shard: _of_film(film, *reader.read(shard))}
    for step in (-1, 1):
        near, frames = shard + step, 0
        while near in film.shards and frames < CONTEXT:
            chosen[near] = _of_film(film, *reader.read(near))
            frames += chosen[near][0].num_rows
            near += step
    order = sorted(chosen)
    frames = pa.concat_tables([chosen[number][0] for number in order])
    people = pa.concat_tables([chosen[number][1] for number in order])
    mine = frames["shard"].to_numpy() == shard
    wanted = np.flatnonzero(mine)
    low, high = max(0, wanted[0] - CONTEXT), wanted[-1] + 1 + CONTEXT
    frames, mine = frames.slice(low, high - low), mine[low:high]
    index = frames["index"].to_numpy()
    owner = people["id"].to_numpy() >> PERSON_BITS
    people = people.filter((owner >= index[0]) & (owner <= index[-1]))
    row = np.searchsorted(index, people["id"].to_numpy() >> PERSON_BITS)
    _, numbers = np.unique(people["track_id"].to_numpy(), return_inverse=True)
    return Stretch(frames, people, row, numbers, mine)


def _of_film(film: Film, images: pa.Table, instances: pa.Table) -> tuple[pa.Table, pa.Table]:
    images = frames_of(film, images)
    followed = instances.filter(instances["track_id"].is_valid())
    return images, followed.filter(np.isin(followed["image_id"].to_numpy(), images["image_id"].to_numpy()))
