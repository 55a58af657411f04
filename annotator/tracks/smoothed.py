"""The instances of a run with smoothed joints: made when asked for, never stored, raw ones beside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from annotator.errors import UserError
from annotator.pose.boxes import iou_matrix, xywh_to_xyxy
from annotator.store.reader import Run
from annotator.store.records import CommitRecord
from annotator.store.schema import INSTANCES, MAX_PEOPLE, PERSON_BITS
from annotator.store.snapshot import Snapshot
from annotator.store.view import View
from annotator.tracks.films import Film, films_of
from annotator.tracks.smooth import smooth
from annotator.tracks.stretches import ShardTables, Stretch, stretch_in

# Longest gap of a track that is filled; frames as the run sampled them.
FILL_FRAMES, FILL_SECONDS = 10, 0.5
# Whoever has no track and overlaps a gap's box by this is who is missed there, with a pose that slipped.
_SAME_IOU = 0.5

SMOOTHED = pa.schema(
    [
        *INSTANCES,
        pa.field("keypoints_raw", pa.list_(pa.float32()), nullable=True),
        pa.field("keypoint_sigmas", pa.list_(pa.float32()), nullable=True),
        pa.field("filled", pa.bool_(), nullable=False),
    ]
)


class SmoothedRun(View):
    """Reads as the run does, with the joints of followed people smoothed over time and short gaps filled.

    `instances` has the columns of `SMOOTHED`, one batch a shard. People with a track get smoothed `keypoints`
    (x and y; v stays), the standard deviation of each joint in pixels as `keypoint_sigmas`, and what the
    model said as `keypoints_raw`. All others stay as they are, with nulls there. Where a track has a short
    gap, the person is filled in: `filled`, with v = 1 for joints that are located on both sides, no keypoint
    scores, and the lower scores of both sides. Whoever is found in that place without a track is that person
    with a pose that slipped: the row stays, with the track, the joints of the gap, and its own as
    `keypoints_raw`.

    Args:
        run: the run; a smoothed one gives the same again.

    Raises:
        UserError: when `instances` are read: the run has no films, one of them is not done, or nobody was
            followed.
    """

    def __init__(self, run: Run) -> None:
        # Shards are read again as context of others.
        super().__init__(Snapshot(run))

    def _batches(
        self, table: str, records: Iterable[CommitRecord], columns: Sequence[str] | None
    ) -> Iterator[pa.RecordBatch]:
        if table == "instances":
            batches = self._smoothed(records)
            return batches if columns is None else (batch.select(list(columns)) for batch in batches)
        return super()._batches(table, records, columns)

    def _smoothed(self, records: Iterable[CommitRecord]) -> Iterator[pa.RecordBatch]:
        films, standing = films_of(self.plan), self.committed()
        _check(self, films, standing)
        reader = ShardTables(self, standing)
        for record in records:
            shard = record.shard
            here = [film for film in films if shard in film.shards]
            _, instances = reader.read(shard)
            rows = _unsmoothed(instances)
            for film in here:
                rows = _with_smoothed(rows, stretch_in(reader, film, shard))
            reader.forget_before(min((film.shards.start for film in here), default=shard), shard)
            rows = rows.sort_by("id").combine_chunks()
            yield from rows.to_batches() or [pa.RecordBatch.from_pylist([], SMOOTHED)]


def _check(run: Run, films: list[Film], records: dict[int, CommitRecord]) -> None:
    if not films:
        raise UserError(f"{run.place} has no videos that could be read: there is nothing to smooth over time")
    if not run.info.config.get("track"):
        raise UserError(
            f"{run.place} was made with --no-track, so that nothing is known over time; once it is done, "
            f"`annotator run --from {run.place} --track --out OTHER` follows people, without any model"
        )
    shards = {shard: film for film in films for shard in film.shards}
    missing = sorted(shards.keys() - records.keys())
    if missing:
        raise UserError(
            f"{run.place}: shard {missing[0]} of {shards[missing[0]].uri} is not done, and people are "
            "smoothed once all are; the same `annotator run` goes on with it"
        )
    new = [shard for shard in shards if "tracks" not in records[shard].files]
    if new:
        raise UserError(
            f"{run.place}: all shards of {shards[new[0]].uri} are done, but its people are not followed yet; "
            "the same `annotator run` does that"
        )


def _with_smoothed(rows: pa.Table, part: Stretch) -> pa.Table:
    """`rows` with the followed people of `part` smoothed, and those filled in added."""
    count = part.people.num_rows
    if not count:
        return rows
    keypoints = _numbers(part.people["keypoints"]).reshape(count, -1, 3)
    scores = _numbers(part.people["keypoint_scores"]).reshape(count, -1)
    bboxes = _numbers(part.people["bbox"]).reshape(count, 4)
    moments, tracks, joints = part.frames.num_rows, int(part.numbers.max()) + 1, keypoints.shape[1]
    points = np.full((moments, tracks, joints, 2), np.nan)
    confidences = np.zeros((moments, tracks, joints))
    points[part.row, part.numbers] = keypoints[..., :2]
    confidences[part.row, part.numbers] = scores
    heights = np.array([np.median(bboxes[part.numbers == track, 3]) for track in range(tracks)])
    done = smooth(
        part.frames["time"].to_numpy(),
        points.reshape(moments, -1, 2),
        confidences.reshape(moments, -1),
        np.repeat(heights, joints),
    )
    places = done.points.reshape(points.shape)
    sigmas = done.sigmas.reshape(confidences.shape)

    here = np.flatnonzero(part.mine[part.row])
    smoothed = keypoints[here].copy()
    smoothed[..., :2] = places[part.row[here], part.numbers[here]]
    mine = part.people.take(here)
    loose = rows.filter(rows["track_id"].is_null())
    changed = pa.concat_tables(
        [
            _columns(mine, smoothed, sigmas[part.row[here], part.numbers[here]], filled=False),
            _filled(part, loose, keypoints, bboxes, places, sigmas),
        ]
    )
    others = rows.filter(~np.isin(rows["id"].to_numpy(), changed["id"].to_numpy()))
    return pa.concat_tables([others, changed])


def _filled(
    part: Stretch,
    loose: pa.Table,
    keypoints: np.ndarray,
    bboxes: np.ndarray,
    places: np.ndarray,
    sigmas: np.ndarray,
) -> pa.Table:
    """People in the short gaps of their tracks, only in frames that were read and are wanted.

    Args:
        loose: people of these frames, and of others, whom no track claims.
    """
    times = part.frames["time"].to_numpy()
    good = part.mine & (part.frames["status"].to_numpy(zero_copy_only=False) != "error")
    sizes = np.stack([part.frames[side].fill_null(0).to_numpy() for side in ("width", "height")], axis=1)
    image_ids, index = part.frames["image_id"].to_numpy(), part.frames["index"].to_numpy()
    order = np.lexsort((part.row, part.numbers))
    added: list[dict] = []
    in_frame: dict[int, int] = {}
    frame_of = loose["id"].to_numpy() >> PERSON_BITS
    corners, free = xywh_to_xyxy(_numbers(loose["bbox"]).reshape(-1, 4)), np.ones(loose.num_rows, bool)
    people = part.people.select(["track_id", "score", "bbox_score"]).to_pydict()
    for before, after in zip(order[:-1].tolist(), order[1:].tolist(), strict=True):
        start, stop = int(part.row[before]), int(part.row[after])
        same = part.numbers[before] == part.numbers[after]
        gap = stop - start - 1
        if not same or gap < 1 or gap > FILL_FRAMES or times[stop] - times[start] > FILL_SECONDS:
            continue
        for row in range(start + 1, stop):
            if not good[row]:
                continue
            share = (times[row] - times[start]) / (times[stop] - times[start])
            bbox = (1 - share) * bboxes[before] + share * bboxes[after]
            place = places[row, part.numbers[before]]
            inside = ((place >= -0.5) & (place < sizes[row] - 0.5)).all(axis=-1)
            located = (keypoints[before, :, 2] > 0) & (keypoints[after, :, 2] > 0) & inside
            joints = np.concatenate([place, located[:, None]], axis=1, dtype=np.float32)
            near = np.flatnonzero(free & (frame_of == index[row]))
            overlap = iou_matrix(corners[near], xywh_to_xyxy(bbox[None]))[:, 0]
            if overlap.max(initial=0) >= _SAME_IOU:
                slipped = near[overlap.argmax()]
                free[slipped] = False
                person = loose.slice(slipped, 1).to_pylist()[0]
                person["keypoints_raw"] = person["keypoints"]
            else:
                # Counted down from the top, where no person of the models is.
                in_frame[row] = in_frame.get(row, 0) + 1
                number = MAX_PEOPLE - in_frame[row]
                person = {
                    "id": int(index[row] << PERSON_BITS | (number + 1)),
                    "image_id": int(image_ids[row]),
                    "category_id": 1,
                    "bbox": bbox.tolist(),
                    "area": float(bbox[2] * bbox[3]),
                    "iscrowd": 0,
                    "score": min(people["score"][before], people["score"][after]),
                    "keypoint_scores": [0.0] * len(joints),
                    "bbox_score": min(people["bbox_score"][before], people["bbox_score"][after]),
                    "person_index": number,
                }
            person |= {
                "keypoints": joints.ravel().tolist(),
                "num_keypoints": int(located.sum()),
                "track_id": people["track_id"][before],
                "keypoint_sigmas": sigmas[row, part.numbers[before]].astype(np.float32).tolist(),
                "filled": True,
            }
            added.append(person)
    return pa.Table.from_pylist(added, schema=SMOOTHED)


def _unsmoothed(instances: pa.Table) -> pa.Table:
    count = instances.num_rows
    lists = [pa.nulls(count, pa.list_(pa.float32()))] * 2
    columns = [*(instances[name] for name in INSTANCES.names), *lists, pa.repeat(False, count)]
    return pa.table(columns, schema=SMOOTHED)


def _columns(people: pa.Table, keypoints: np.ndarray, sigmas: np.ndarray, filled: bool) -> pa.Table:
    """Rows of `people` with other keypoints (N, K, 3), and sigmas (N, K)."""
    columns = {name: people[name] for name in INSTANCES.names}
    columns["keypoints_raw"] = columns["keypoints"].cast(pa.list_(pa.float32()))
    columns["keypoints"] = _lists(keypoints, INSTANCES.field("keypoints").type)
    columns["keypoint_sigmas"] = _lists(sigmas, pa.list_(pa.float32()))
    columns["filled"] = pa.repeat(filled, people.num_rows)
    return pa.table([columns[name] for name in SMOOTHED.names], schema=SMOOTHED)


def _lists(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    flat = values.reshape(len(values), int(np.prod(values.shape[1:]))).astype(np.float32)
    offsets = np.arange(0, flat.size + 1, max(1, flat.shape[1]), dtype=np.int32)[: len(flat) + 1]
    return pa.ListArray.from_arrays(offsets, pa.array(flat.ravel()), type=kind)


def _numbers(lists: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(lists.combine_chunks().flatten()).astype(np.float64)
