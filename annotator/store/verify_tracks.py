"""Proof that the tracks of a run are those that its instances name: a ledger filled shard by shard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from annotator.store.schema import PERSON_BITS

if TYPE_CHECKING:
    from annotator.store.verify_report import Report

TRACK_COLUMNS = ("id", "first_frame", "last_frame", "num_instances")


class TrackLedger:
    """Counts what instances say about tracks and what tracks say; memory grows with tracks, not with people.

    Args:
        wanted: the run was started with following.
    """

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._said: dict[int, tuple[int, int, int]] = {}
        self._seen: dict[int, list[int]] = {}

    def add(
        self, where: str, images: pa.Table, instances: pa.Table, tracks: pa.Table | None, report: Report
    ) -> None:
        """Take in a shard. Shards come in order.

        Args:
            images: columns index, frame_index. instances: id, track_id.
            tracks: `TRACK_COLUMNS`; None where the commit record names none.
        """
        frames = images["frame_index"].to_numpy(zero_copy_only=False).astype(np.float64)
        if tracks is None and self._wanted and np.isfinite(frames).any():
            report.add("not-followed", where, "the people of its films were not followed yet; run again")
        ids = instances["id"].to_numpy()
        of_track = instances["track_id"].fill_null(-1).to_numpy()
        place = np.clip(np.searchsorted(images["index"].to_numpy(), ids >> PERSON_BITS), 0, len(frames) - 1)
        for person in np.flatnonzero(of_track >= 0).tolist():
            frame = frames[place[person]]
            if not np.isfinite(frame):
                report.add("mismatch", where, f"instance {ids[person]} is in a picture and in a track")
                continue
            seen = self._seen.setdefault(int(of_track[person]), [int(frame), int(frame), 0])
            if seen[2] and seen[1] == int(frame):
                report.add("doubled", where, f"track {of_track[person]} is twice in frame {int(frame)}")
            seen[1], seen[2] = int(frame), seen[2] + 1
        if tracks is None:
            return
        mine = set(ids.tolist())
        for name, *numbers in zip(*(tracks[column].to_pylist() for column in TRACK_COLUMNS), strict=True):
            if name in self._said:
                report.add("doubled", where, f"track {name} is there more than once")
            if name not in mine:
                report.add("mismatch", where, f"track {name} does not begin in this shard")
            self._said[name] = (numbers[0], numbers[1], numbers[2])

    def close(self, report: Report) -> None:
        """Compare, once all shards are in."""
        for name, (first, last, count) in self._said.items():
            seen = self._seen.pop(name, None)
            if seen is None or tuple(seen) != (first, last, count):
                found = "nobody" if seen is None else f"{seen[2]} in frames {seen[0]} to {seen[1]}"
                report.add(
                    "mismatch",
                    "tracks",
                    f"track {name} has {count} in frames {first} to {last}; found: {found}",
                )
        for name in self._seen:
            report.add("orphan", "tracks", f"instances are in track {name}, which is not among the tracks")
