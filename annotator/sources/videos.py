"""Videos among the inputs: their frames as rows of the plan, and where a film may be cut into shards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from annotator.errors import ItemError, UserError
from annotator.media.scan import VideoIndex
from annotator.media.video import index_video
from annotator.sources.folders import VIDEO_SUFFIXES
from annotator.sources.listing import BLOCK_ROWS, Listing, image_id_of
from annotator.sources.notes import Notes
from annotator.sources.sampling import Sampling
from annotator.uris import frame_mark

# A group of pictures is cut into several shards only where it is so many times larger than a shard should be:
# each part decodes the group from its keyframe on.
LONGEST_GROUP = 4
# A film whose frames are counted is cut into so many shards at most: each decodes it from its beginning.
MOST_COUNTED = 8


@dataclass(frozen=True, slots=True)
class _Film:
    """What of one video is in the plan.

    Attributes:
        numbers, pts, keyframe_pts, ids: (M,) int64, times: (M,) float64, of the chosen frames.
        lost: stretches that cannot be read, (from, to) in seconds: an item each, behind the frames.
        lost_ids: of those.
    """

    numbers: np.ndarray
    pts: np.ndarray
    times: np.ndarray
    keyframe_pts: np.ndarray | None
    ids: np.ndarray
    lost: tuple[tuple[float, float], ...]
    lost_ids: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers) + len(self.lost)

    def cuts(self, shard_size: int) -> np.ndarray:
        """Places after which a shard may end: (C,) int64, ascending, the last is the number of frames."""
        count = len(self.numbers)
        longest = LONGEST_GROUP * shard_size
        if self.keyframe_pts is None:
            longest = max(longest, -(-count // MOST_COUNTED))
            ends = np.array([count])
        else:
            ends = np.append(np.flatnonzero(np.diff(self.keyframe_pts)) + 1, count)
        parts = [
            np.append(np.arange(start + longest, end, longest), end)
            for start, end in zip(np.append(0, ends[:-1]), ends, strict=True)
        ]
        cuts = np.concatenate(parts).astype(np.int64)
        cuts[-1] = len(self)
        return cuts


class FramedRows:
    """Rows of a listing in which a video stands for its frames: a picture is one row, a film many.

    Args:
        films: the frames of each video by its row in the listing; None for one that could not be indexed.
        files: so many rows of the listing are looked at.
        limit: only the first rows.
    """

    def __init__(
        self, listing: Listing, films: dict[int, _Film | None], files: int, limit: int | None = None
    ) -> None:
        self._listing = listing
        self._films = films
        self._places = np.array(sorted(films), np.int64)
        self._counts = np.ones(files, np.int64)
        for row, film in films.items():
            self._counts[row] = 1 if film is None else len(film)
        self._ends = np.cumsum(self._counts)
        self._length = min(int(self._ends[-1]), limit or int(self._ends[-1]))

    def __len__(self) -> int:
        return self._length

    @property
    def example(self) -> str:
        """URI of the first video."""
        return self._listing.uri(int(self._places[0]))

    def starts(self, shard_size: int) -> list[int]:
        """The first row of each shard, and the number of rows at the end.

        Shards are of `shard_size` rows or fewer, as whole groups of pictures fit; a larger group is a shard
        of its own, and cut if it is more than `LONGEST_GROUP` times as large. A film whose frames are counted
        is one group, cut at most into `MOST_COUNTED`.
        """
        parts, done = [], 0
        for row in self._places.tolist():
            film = self._films[row]
            if film is not None and len(film):
                first = self._ends[row] - self._counts[row]
                parts += [self._ends[done:row], first + film.cuts(shard_size)]
                done = row + 1
        cuts = np.minimum(np.concatenate([*parts, self._ends[done:]]), len(self))
        starts = [0]
        while starts[-1] < len(self):
            place = int(np.searchsorted(cuts, starts[-1] + shard_size, "right")) - 1
            if place < 0 or cuts[place] <= starts[-1]:
                place = int(np.searchsorted(cuts, starts[-1], "right"))
            starts.append(int(cuts[place]))
        return starts

    def rows(self, start: int, stop: int) -> pa.Table:
        """Columns uri, file_name, image_id, video_uri, frame_index, pts, time, keyframe_pts of some rows."""
        stop = min(stop, len(self))
        parts = []
        while start < stop:
            row = int(np.searchsorted(self._ends, start, "right"))
            first = int(self._ends[row] - self._counts[row])
            if row in self._films:
                end = min(int(self._ends[row]), stop)
                parts.append(self._frames(row, start - first, end - first))
            else:
                following = int(np.searchsorted(self._places, row))
                last = int(self._places[following]) if following < len(self._places) else len(self._ends)
                end = min(start + last - row, stop)
                parts.append(_with_video(self._listing.rows(row, row + end - start), {}))
            start = end
        return pa.concat_tables(parts) if parts else _with_video(self._listing.rows(0, 0), {})

    def _frames(self, row: int, start: int, stop: int) -> pa.Table:
        film = self._films[row]
        file = self._listing.rows(row, row + 1)
        if film is None:
            return _with_video(file, {"video_uri": file["uri"].to_pylist()})
        (about,) = file.to_pylist()
        numbers = film.numbers[start:stop]
        frames = len(film.numbers)
        lost = slice(max(0, start - frames), max(0, stop - frames))
        marks = [frame_mark(number) for number in numbers.tolist()]
        marks += [f"#lost-{a:.3f}-{b:.3f}" for a, b in film.lost[lost]]
        table = pa.table(
            [
                pa.array([about["uri"] + mark for mark in marks], pa.string()),
                pa.array([about["file_name"] + mark for mark in marks], pa.string()),
                pa.array(np.append(film.ids[start:stop], film.lost_ids[lost]), pa.int64()),
            ],
            names=file.column_names,
        )
        none = pa.nulls(len(marks) - len(numbers), pa.int64())
        keys = pa.nulls(len(numbers), pa.int64())
        if film.keyframe_pts is not None:
            keys = pa.array(film.keyframe_pts[start:stop], pa.int64())
        return _with_video(
            table,
            {
                "video_uri": [about["uri"]] * len(marks),
                "frame_index": pa.concat_arrays([pa.array(numbers, pa.int64()), none]),
                "pts": pa.concat_arrays([pa.array(film.pts[start:stop], pa.int64()), none]),
                "time": [*film.times[start:stop].tolist(), *(a for a, _ in film.lost[lost])],
                "keyframe_pts": pa.concat_arrays([keys, none]),
            },
        )


_VIDEO_COLUMNS = {
    "video_uri": pa.string(),
    "frame_index": pa.int64(),
    "pts": pa.int64(),
    "time": pa.float64(),
    "keyframe_pts": pa.int64(),
}


def _with_video(table: pa.Table, columns: dict[str, Any]) -> pa.Table:
    for name, kind in _VIDEO_COLUMNS.items():
        values = columns.get(name)
        table = table.append_column(
            name, pa.nulls(len(table), kind) if values is None else pa.array(values, kind)
        )
    return table


def frame_rows(listing: Listing, sampling: Sampling, limit: int | None, notes: Notes) -> FramedRows | None:
    """Index the videos of a finished listing; None if there are none.

    A video that cannot be indexed is one row without frames, which becomes an error row of the run.

    Args:
        limit: index no further once there are so many rows.

    Raises:
        UserError: no frame is left of all inputs.
    """
    rows = list(_video_rows(listing))
    if not rows:
        return None
    films: dict[int, _Film | None] = {}
    files, frames = len(listing), 0
    pool = ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0))), "index")
    try:
        uris = [listing.uri(row) for row in rows]
        for row, uri, found in zip(rows, uris, pool.map(_index, uris), strict=True):
            film = films[row] = _film(uri, found, sampling, notes)
            frames += 1 if film is None else len(film)
            if limit is not None and row + 1 - len(films) + frames >= limit:
                files = row + 1
                break
    finally:
        pool.shutdown(cancel_futures=True)
    _make_ids_unique(listing, films)
    framed = FramedRows(listing, films, files, limit)
    if not len(framed):
        raise UserError(
            f"no frame of the {len(films)} videos is chosen; check --start, --end and --keyframes-only"
        )
    return framed


def _video_rows(listing: Listing) -> Iterator[int]:
    pattern = f"({'|'.join(sorted(VIDEO_SUFFIXES))})$".replace(".", r"\.")
    for start in range(0, len(listing), BLOCK_ROWS):
        uris = listing.rows(start, min(start + BLOCK_ROWS, len(listing)))["uri"]
        found = pc.call_function(
            "match_substring_regex", [uris], pc.MatchSubstringOptions(pattern, ignore_case=True)
        )
        yield from (start + np.flatnonzero(np.asarray(found))).tolist()


def _index(uri: str) -> VideoIndex | ItemError:
    try:
        return index_video(uri)
    except ItemError as error:
        return error


def _film(uri: str, found: VideoIndex | ItemError, sampling: Sampling, notes: Notes) -> _Film | None:
    if isinstance(found, ItemError):
        return None
    if found.lost_seconds:
        notes.say(f"{uri} ends {found.lost_seconds:.1f} s sooner than its header says: cut off or damaged")
    if found.undecodable:
        notes.say(f"{uri}: {found.undecodable} frames before its first keyframe were left out")
    chosen = sampling.choose(found)
    if not len(chosen):
        notes.say(f"{uri}: none of its {len(found):,} frames is chosen ({found.times[-1]:.1f} s long)")
    pts = found.pts[chosen]
    lost = tuple(
        (a, b)
        for a, b in found.lost
        if (sampling.start is None or b > sampling.start) and (sampling.end is None or a < sampling.end)
    )
    return _Film(
        numbers=chosen,
        pts=pts,
        times=found.times[chosen],
        keyframe_pts=None if found.keyframe_pts is None else found.keyframe_pts[chosen],
        ids=np.array([image_id_of(f"{uri}#{value}") for value in pts.tolist()], np.int64),
        lost=lost,
        lost_ids=np.array([image_id_of(f"{uri}#lost-{a:.3f}-{b:.3f}") for a, b in lost], np.int64),
    )


def _make_ids_unique(listing: Listing, films: dict[int, _Film | None]) -> None:
    """Give frames whose id is taken, which happens about once in 10**15 pairs, another one."""
    found = [film for film in films.values() if film is not None]
    of_films = [ids for film in found for ids in (film.ids, film.lost_ids)]
    ids = np.concatenate([listing.image_ids, *of_films])
    if len(np.unique(ids)) == len(ids):
        return
    taken = set(listing.image_ids.tolist())
    for ids in of_films:
        for place, candidate in enumerate(ids.tolist()):
            attempt = 0
            while candidate in taken:
                attempt += 1
                candidate = image_id_of(f"{candidate}\0{attempt}")
            taken.add(candidate)
            ids[place] = candidate
