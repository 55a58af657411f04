"""The films of a run: the shards they are in, and their people frame by frame, a shard at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from annotator.store.plan import Plan
from annotator.store.reader import Run
from annotator.store.records import CommitRecord
from annotator.store.schema import PERSON_BITS
from annotator.tracks.people import FramePeople

# Box score from which somebody may begin a track, unless likely a phantom; others only go on with one.
SURE_SCORE = 0.3


@dataclass(frozen=True, slots=True)
class Film:
    """A video of a run: its URI and the shards that hold its frames, neighbours of which it may share."""

    uri: str
    shards: range


@dataclass(frozen=True, slots=True)
class FilmShard:
    """The part of a film that is in one shard.

    Attributes:
        frames: of all items that are frames, with or without people, in the order of time.
        ids: (N,) int64, the instances of the people of all frames, one frame after the other.
        frame_numbers: (N,) int64, the frame that each is in.
        scores: (N,) float32, of each.
    """

    frames: list[FramePeople]
    ids: np.ndarray
    frame_numbers: np.ndarray
    scores: np.ndarray


def films_of(plan: Plan) -> list[Film]:
    """The films of a plan in its order; empty without videos, at no cost.

    A video that could not be indexed has no frames, only an error row: it is no film.
    """
    if plan.starts is None:
        return []
    films: list[Film] = []
    for table in plan.tables():
        table = table.filter(table["frame_index"].is_valid())
        uris, shards = table["video_uri"].combine_chunks(), table["shard"].to_numpy()
        codes = np.asarray(uris.dictionary_encode().indices)
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        for start, end in pairwise([*starts.tolist(), len(codes)]):
            uri = uris[start].as_py()
            first, last = int(shards[start]), int(shards[end - 1])
            if films and films[-1].uri == uri:
                films[-1] = Film(uri, range(films[-1].shards.start, last + 1))
            else:
                films.append(Film(uri, range(first, last + 1)))
    return films


def is_followed(film: Film, records: dict[int, CommitRecord]) -> bool:
    """Whether the people of a film were followed in all of its shards that are committed."""
    return all("tracks" in records[shard].files for shard in film.shards if shard in records)


def film_shards(run: Run, records: dict[int, CommitRecord], film: Film) -> Iterator[FilmShard]:
    """The people of a film, shard by shard in the order of time."""
    for shard in film.shards:
        record = records[shard]
        yield film_shard(film, run.rows_of(record, "images"), run.rows_of(record, "instances"))


def film_shard(film: Film, images: pa.Table, instances: pa.Table) -> FilmShard:
    """The part of a film in the tables of one shard; people whom OKS-NMS suppresses are left out."""
    rows = frames_of(film, images).select(["index", "frame_index", "time"]).to_pydict()
    instances = instances.filter(~instances["nms_suppressed"].fill_null(False).to_numpy())
    ids = instances["id"].to_numpy()
    count = len(ids)
    bboxes = _numbers(instances["bbox"]).reshape(count, 4)
    numbers = _numbers(instances["keypoints"])
    keypoints = numbers.reshape(count, len(numbers) // (3 * count) if count else 0, 3)
    phantom = instances["likely_phantom"].fill_null(False).to_numpy()
    sure = (instances["bbox_score"].to_numpy() >= SURE_SCORE) & ~phantom
    owner = ids >> PERSON_BITS
    begins = np.searchsorted(owner, rows["index"], "left")
    ends = np.searchsorted(owner, rows["index"], "right")
    places = [slice(a, b) for a, b in zip(begins, ends, strict=True)]
    frames = [
        FramePeople(
            time=time,
            bboxes=bboxes[place],
            sure=sure[place],
            keypoints=keypoints[place, :, :2],
            located=keypoints[place, :, 2] > 0,
        )
        for place, time in zip(places, rows["time"], strict=True)
    ]
    people = np.concatenate([np.arange(place.start, place.stop) for place in places] or [np.zeros(0, int)])
    return FilmShard(
        frames=frames,
        ids=ids[people],
        frame_numbers=np.repeat(np.array(rows["frame_index"], np.int64), ends - begins),
        scores=instances["score"].to_numpy()[people],
    )


def frames_of(film: Film, images: pa.Table) -> pa.Table:
    """Those rows of `images` that are frames of a film; stretches that were lost are none."""
    images = images.filter(pc.call_function("equal", [images["video_uri"], pa.scalar(film.uri)]))
    return images.filter(images["frame_index"].is_valid())


def _numbers(lists: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(lists.combine_chunks().flatten()).astype(np.float64)
