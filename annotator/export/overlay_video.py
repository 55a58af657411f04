"""Films with their people drawn into them: skeletons, boxes in the colour of each track, and its number."""

from __future__ import annotations

import colorsys
import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from annotator.errors import ItemError, UserError
from annotator.export.doubtful import doubts
from annotator.export.exported import Exported
from annotator.media.container import open_video
from annotator.media.decoding import FrameReader
from annotator.quality.shown import CONFIDENT
from annotator.report.drawing import HALO, draw_people
from annotator.skeletons import Skeleton
from annotator.store.atomic import atomic_path
from annotator.store.person_ids import is_added, item_of
from annotator.store.reader import Run
from annotator.tracks.films import Film, films_of, is_followed

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

_TRAIL_SECONDS = 1.0
_FONT = cv2.FONT_HERSHEY_DUPLEX


def write_overlay_video(run: Run, path: str | Path, *, min_score: float = 0.0) -> Exported:
    """Write the frames of a run's film, upright and at their times, as H.264 in MP4; sound is left out.

    Followed people are drawn; in a film that was not followed (yet), those with a box score of `CONFIDENT`.
    A frame that has no result, or cannot be read any more, is left out (without people it would say: nobody
    there), and the one before stays on show. A film of which no frame has a result is not written.

    Args:
        path: a file; a folder where the run has several films.
        min_score: people below this score are not drawn.

    Raises:
        UserError: no films, none with a result, several and a path that names a file, one that cannot be read
            any more, or nothing that can be written to.
        RunFailed: a data file is damaged, or the disk is full.
    """
    films = films_of(run.plan)
    if not films:
        raise UserError(f"{run.place} has no videos that could be read; overlay-video is for films")
    path = Path(path)
    if len(films) > 1 and path.suffix:
        raise UserError(f"{run.place} has {len(films)} films: name a folder for them, not {path}")
    done = Exported(path)
    known = _with_results(run, done)
    if not known:
        raise UserError(f"{run.place}: no frame of its films has a result")
    records, frames = run.committed(), _Frames(run, min_score)
    taken: set[Path] = set()
    for film in films:
        target = path if len(films) == 1 else _own_name(path, film, taken)
        if film.uri not in known:
            continue
        with atomic_path(target) as aside, _progress(run, film, target) as tick:
            for drawn in _write(run, film, is_followed(film, records), aside, frames):
                tick(1)
                if drawn is None:
                    done.unreadable += 1
                else:
                    done.images += 1
                    done.add_people(person["doubts"] for person in drawn)
    done.below_score = frames.below_score
    return done


def _with_results(run: Run, done: Exported) -> set[str]:
    """URIs of the films of which some frame has a result; counts the rows of videos that have none."""
    found: set[str] = set()
    for batch in run.images(["video_uri", "status"]):
        videos = batch.filter(batch["video_uri"].is_valid())
        results = videos.filter(_succeeded(videos))
        done.errors += videos.num_rows - results.num_rows
        found.update(results["video_uri"].unique().to_pylist())
    return found


def _succeeded(images: pa.RecordBatch) -> pa.Array:
    return pc.not_equal(images["status"], "error")  # type: ignore[attr-defined]


def _own_name(folder: Path, film: Film, taken: set[Path]) -> Path:
    stem = PurePosixPath(film.uri).stem
    target, number = folder / f"{stem}.mp4", 1
    while target in taken:
        number += 1
        target = folder / f"{stem}-{number}.mp4"
    taken.add(target)
    return target


@contextlib.contextmanager
def _progress(run: Run, film: Film, target: Path) -> Iterator[Callable[[int], object]]:
    """A bar on stderr over the frames of a film."""
    from tqdm import tqdm

    # Shards in the middle are the film's alone, and about as large as the first.
    first, last = (len(run.plan.items(film.shards[place])) for place in (0, -1))
    total = first * (len(film.shards) - 1) + last
    with tqdm(total=total, unit="frame", desc=target.name, delay=1.0) as bar:
        yield bar.update
        bar.total = bar.n


class _Frames:
    """Hands out what the run says of each frame, in the order of the plan."""

    def __init__(self, run: Run, min_score: float) -> None:
        self._rows = self._each(run.instances())
        self._next = next(self._rows, None)
        self._results = (
            index
            for batch in run.images(["index", "status"])
            for index in batch.filter(_succeeded(batch))["index"].to_pylist()
        )
        self._result = next(self._results, None)
        self._min_score = min_score
        self.below_score = 0

    def has_result(self, index: int) -> bool:
        """Whether item `index` has one; ask in ascending order."""
        while self._result is not None and self._result < index:
            self._result = next(self._results, None)
        return self._result == index

    def people(self, index: int, followed: bool) -> list[dict]:
        """Those of item `index` to draw, by their tracks or else their boxes; ask in ascending order."""
        found = []
        while self._next is not None and item_of(self._next["id"]) <= index:
            row = self._next
            self._next = next(self._rows, None)
            if item_of(row["id"]) < index:
                continue
            sure = row["track_id"] is not None if followed else row["bbox_score"] >= CONFIDENT
            sure |= is_added(row["id"])
            if row["score"] < self._min_score:
                self.below_score += 1
            elif sure:
                found.append(row)
        return found

    def _each(self, batches: Iterator[pa.RecordBatch]) -> Iterator[dict]:
        for batch in batches:
            rows = batch.select(["id", "bbox", "keypoints", "score", "bbox_score", "track_id"]).to_pylist()
            yield from (row | {"doubts": kinds} for row, kinds in zip(rows, doubts(batch), strict=True))


def _write(run: Run, film: Film, followed: bool, path: Path, frames: _Frames) -> Iterator[list[dict] | None]:
    """Write one film; yields the people drawn in each frame with a result, None where it cannot be read."""
    import av

    artist = _Artist(run.skeleton)
    base, rate = _clock(film)
    with av.open(str(path), "w", format="mp4") as container, FrameReader(film.uri) as reader:
        stream: VideoStream | None = None
        for shard in film.shards:
            for item in run.plan.items(shard):
                if item.video_uri != film.uri or item.pts is None or not item.is_frame:
                    continue
                if not frames.has_result(item.index):
                    continue
                try:
                    image = reader.read(item)
                except ItemError:
                    yield None
                    continue
                found, time = frames.people(item.index, followed), item.time or 0.0
                pixels = artist.draw(image.pixels, image.scale, found, time)
                if stream is None:
                    stream = _stream(container, pixels, base, rate)
                pixels = _fitted(pixels, stream.width, stream.height)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                # Not the item's pts: those of counted frames are in another unit.
                frame.pts, frame.time_base = round(time / base), base
                container.mux(stream.encode(frame))
                yield found
        if stream is None:
            raise UserError(
                f"{film.uri}: no frame with a result can be read any more; the film has to be what it was"
            )
        container.mux(stream.encode(None))


def _clock(film: Film) -> tuple[Fraction, Fraction]:
    """Time base and average frame rate of the source; usual ones where it is gone."""
    try:
        container, stream = open_video(film.uri)
    except ItemError as error:
        raise UserError(f"{film.uri}: {error.message}; the film has to be where it was") from None
    with container:
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        return stream.time_base or 1 / rate, rate


def _stream(container: OutputContainer, pixels: np.ndarray, base: Fraction, rate: Fraction) -> VideoStream:
    height, width = pixels.shape[:2]
    stream = container.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
    # H.264 halves the resolution of colours, so sides are even.
    stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
    stream.codec_context.time_base = base
    return stream


def _fitted(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture in the film's size: an odd side gets one more pixel, another size black borders."""
    h, w = pixels.shape[:2]
    if width - w not in (0, 1) or height - h not in (0, 1):
        scale = min(width / w, height / h)
        pixels = cv2.resize(pixels, (max(1, int(w * scale)), max(1, int(h * scale))))
        h, w = pixels.shape[:2]
        return cv2.copyMakeBorder(pixels, 0, height - h, 0, width - w, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    return cv2.copyMakeBorder(pixels, 0, height - h, 0, width - w, cv2.BORDER_REPLICATE)


class _Artist:
    """Draws people; remembers numbers of tracks, from 1 as they appear, and where they just were."""

    def __init__(self, skeleton: Skeleton) -> None:
        self._skeleton = skeleton
        self._numbers: dict[int, int] = {}
        self._trails: dict[int, deque[tuple[float, float, float]]] = {}

    def draw(self, pixels: np.ndarray, scale: int, people: list[dict], time: float) -> np.ndarray:
        """People on a copy of a frame; (H, W, 3) uint8 RGB. `scale`: the frame is so many times smaller."""
        joints = np.array([person["keypoints"] for person in people], np.float64)
        joints = joints.reshape(len(people), len(self._skeleton), 3)
        joints[..., :2] = (joints[..., :2] + 0.5) / scale - 0.5
        drawn = draw_people(pixels, joints, self._skeleton)
        for person in people:
            self._draw_identity(drawn, person, scale, time)
        return drawn

    def _draw_identity(self, canvas: np.ndarray, person: dict, scale: int, time: float) -> None:
        x, y, w, h = (side / scale for side in person["bbox"])
        track = person["track_id"]
        if track is None:
            _corners(canvas, x, y, w, h, (200, 200, 200))
            return
        number = self._numbers.setdefault(track, len(self._numbers) + 1)
        colour = track_colour(number)
        trail = self._trails.setdefault(track, deque())
        trail.append((time, x + w / 2, y + h))
        while trail[0][0] < time - _TRAIL_SECONDS:
            trail.popleft()
        points = np.array([place for _, *place in trail]).round().astype(np.int32)
        cv2.polylines(canvas, [points], False, colour, 2, cv2.LINE_AA)
        _corners(canvas, x, y, w, h, colour)
        _label(canvas, str(number), x, y, colour)
        if len(self._trails) > 4096:
            self._trails = {name: kept for name, kept in self._trails.items() if kept[-1][0] > time - 1}


def track_colour(number: int) -> tuple[int, int, int]:
    """A bright colour, unlike those of the numbers before (hues in golden steps)."""
    red, green, blue = colorsys.hls_to_rgb((0.11 + number * 0.618034) % 1.0, 0.6, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


def _corners(
    canvas: np.ndarray, x: float, y: float, w: float, h: float, colour: tuple[int, int, int]
) -> None:
    """The four corners of a box, so that it hides little."""
    reach = max(4.0, 0.12 * min(w, h))
    for cx, sx in ((x, 1), (x + w, -1)):
        for cy, sy in ((y, 1), (y + h, -1)):
            lines = (
                np.array([[cx + sx * reach, cy], [cx, cy], [cx, cy + sy * reach]]).round().astype(np.int32)
            )
            cv2.polylines(canvas, [lines], False, colour, 2, cv2.LINE_AA)


def _label(canvas: np.ndarray, text: str, x: float, y: float, colour: tuple[int, int, int]) -> None:
    size = max(0.5, canvas.shape[0] / 1400)
    (width, height), _ = cv2.getTextSize(text, _FONT, size, 1)
    left = int(np.clip(x, 0, max(0, canvas.shape[1] - width - 8)))
    top = int(np.clip(y - height - 10, 0, max(0, canvas.shape[0] - height - 8)))
    cv2.rectangle(canvas, (left, top), (left + width + 8, top + height + 8), colour, cv2.FILLED)
    cv2.putText(canvas, text, (left + 4, top + height + 4), _FONT, size, HALO, 1, cv2.LINE_AA)
