"""The films of a run over time: people, confidence and identities, charts of them, and frames to be shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from annotator.quality.shown import CONFIDENT
from annotator.report.figures import CROWD_DRAWN, Figures, ShownPicture
from annotator.report.thumbnails import Thumbnail, make_gallery
from annotator.store.reader import Run
from annotator.store.records import CommitRecord
from annotator.store.schema import PERSON_BITS
from annotator.tracks.films import Film, films_of, is_followed

# Films on the page; intervals of a film's time; frames shown of each film; tracks drawn, the longest ones.
FILMS, INTERVALS, STILLS, TRACKS = 6, 60, 4, 24

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 700, 130, 6, 18, 20


@dataclass(frozen=True, slots=True)
class FilmFigures:
    """A film over time, in B intervals of equal length, `INTERVALS` at most.

    People are those who were followed; in a run without tracks, those with a box score of `CONFIDENT`.

    Attributes:
        name: of the file. seconds: from the first frame to the last. frames, errors: rows.
        people: (B,) float64, mean number a frame; NaN without a frame that could be read.
        confidence: (B,) float64, mean raw score of their joints; NaN without people.
        tracks: (first second, last second) of the longest tracks, in the order of beginning.
        track_count: of all tracks, or None if nobody was followed.
        most: the largest number of people in a frame.
        stills: frames with their people.
    """

    name: str
    seconds: float
    frames: int
    errors: int
    people: np.ndarray
    confidence: np.ndarray
    tracks: tuple[tuple[float, float], ...]
    track_count: int | None
    most: int
    stills: tuple[Thumbnail, ...] = ()

    @property
    def charts(self) -> list[tuple[str, Markup]]:
        """Title and chart of each figure."""
        shown = [
            ("People", timeline(self.people, self.seconds, "People a frame over time")),
            (
                "Confidence",
                timeline(self.confidence, self.seconds, "Mean score of joints over time", top=1.0),
            ),
        ]
        if self.tracks:
            shown.append(("Identities", lifelines(self.tracks, self.seconds, "When each person is seen")))
        return shown


def collect_films(run: Run, blur_faces: bool = False) -> list[FilmFigures]:
    """The first `FILMS` films of a run whose shards are committed, with stills; empty without videos.

    Raises:
        RunFailed: a data file is missing or damaged.
    """
    records = run.committed()
    films = [film for film in films_of(run.plan) if all(shard in records for shard in film.shards)]
    return [_with_stills(run, *_film(run, records, film), blur_faces) for film in films[:FILMS]]


def _film(run: Run, records: dict[int, CommitRecord], film: Film) -> tuple[FilmFigures, list[ShownPicture]]:
    columns = ["index", "time", "status", "frame_index"]
    parts = [_rows(run, records[shard], film) for shard in film.shards]
    images = pa.concat_tables([part[0].select(columns) for part in parts])
    followed = is_followed(film, records)
    people = pa.concat_tables([_counted(part[1], followed) for part in parts])
    time, index = images["time"].to_numpy(), images["index"].to_numpy()
    good = images["status"].to_numpy(zero_copy_only=False) != "error"
    seconds = max(float(time.max()), 1e-3)
    # Two frames in each at least: an interval between frames would look as if nobody was there.
    intervals = max(1, min(INTERVALS, len(time) // 2))
    interval = np.minimum((time / seconds * intervals).astype(int), intervals - 1)
    place = np.searchsorted(index, people["id"].to_numpy() >> PERSON_BITS)
    heads = np.bincount(place, minlength=len(index))
    frames = np.bincount(interval[good], minlength=intervals)
    sums = np.bincount(interval[place], people["mean"].to_numpy(), intervals)
    counts = np.bincount(interval[place], minlength=intervals)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(interval[good], heads[good], intervals) / frames
        confidence = sums / counts
    lives: list[tuple[float, float]] = []
    if followed and people.num_rows:
        track, of = np.unique(people["track_id"].to_numpy(), return_inverse=True)
        first, last = np.full(len(track), np.inf), np.zeros(len(track))
        np.minimum.at(first, of, time[place])
        np.maximum.at(last, of, time[place])
        longest = np.argsort(first - last, kind="stable")[:TRACKS]
        lives = sorted(zip(first[longest].tolist(), last[longest].tolist(), strict=True))
    figures = FilmFigures(
        name=PurePosixPath(film.uri).name,
        seconds=seconds,
        frames=len(index),
        errors=int((~good).sum()),
        people=mean,
        confidence=confidence,
        tracks=tuple(lives),
        track_count=len(np.unique(people["track_id"].to_numpy())) if followed else None,
        most=int(heads.max(initial=0)),
    )
    return figures, _shown(run, records, film, index[_fullest(heads)], followed)


def _rows(run: Run, record: CommitRecord, film: Film) -> tuple[pa.Table, pa.Table]:
    images = run.rows_of(record, "images")
    images = images.filter(pc.fill_null(pc.equal(images["video_uri"], film.uri), False))  # type: ignore[attr-defined]
    instances = run.rows_of(record, "instances")
    mine = np.isin(instances["image_id"].to_numpy(), images["image_id"].to_numpy())
    return images, instances.filter(mine)


def _counted(instances: pa.Table, followed: bool) -> pa.Table:
    """Columns id, track_id and mean (of the joints' scores) of the people that count."""
    people = _that_count(instances, followed)
    scores = np.asarray(people["keypoint_scores"].combine_chunks().flatten())
    mean = scores.reshape(people.num_rows, -1).mean(axis=1) if people.num_rows else np.zeros(0)
    return people.select(["id", "track_id"]).append_column("mean", pa.array(mean, pa.float64()))


def _that_count(instances: pa.Table, followed: bool) -> pa.Table:
    if followed:
        return instances.filter(pc.is_valid(instances["track_id"]))  # type: ignore[attr-defined]
    return instances.filter(pc.greater_equal(instances["bbox_score"], CONFIDENT))  # type: ignore[attr-defined]


def _fullest(heads: np.ndarray) -> list[int]:
    """The fullest frame of each part of the film, of parts with people."""
    places = []
    for part in np.array_split(np.arange(len(heads)), STILLS):
        if len(part) and heads[part].max() > 0:
            # The middle one of equally full frames: people are whole there, not coming in.
            fullest = part[heads[part] == heads[part].max()]
            places.append(int(fullest[len(fullest) // 2]))
    return places


def _shown(
    run: Run, records: dict[int, CommitRecord], film: Film, images: np.ndarray, followed: bool
) -> list[ShownPicture]:
    """Frames by place in the plan, with the joints of the people that count."""
    shown = {int(image): ShownPicture(int(image), []) for image in images}
    for shard in film.shards:
        people = _that_count(_rows(run, records[shard], film)[1], followed)
        owner = people["id"].to_numpy() >> PERSON_BITS
        here = np.isin(owner, images)
        for image, row in zip(
            owner[here].tolist(), people.filter(here)["keypoints"].to_pylist(), strict=True
        ):
            if len(shown[image].people) < CROWD_DRAWN:
                shown[image].people.append(np.array(row, np.float32).reshape(len(run.skeleton), 3))
    return list(shown.values())


def _with_stills(run: Run, figures: FilmFigures, shown: list[ShownPicture], blur_faces: bool) -> FilmFigures:
    gallery = make_gallery(run, Figures(pictures=shown), blur_faces)
    return replace(figures, stills=tuple(gallery.pictures))


def timeline(values: np.ndarray, seconds: float, summary: str, top: float | None = None) -> Markup:
    """Columns over time; a gap where a value is NaN.

    Args:
        values: (B,). seconds: length of the time axis. top: value at the upper edge; default: the largest.
    """
    known = values[np.isfinite(values)]
    highest = top or float(known.max(initial=0)) or 1.0
    base, step = _HEIGHT - _BOTTOM, (_WIDTH - 2 * _LEFT) / len(values)
    parts = [_opening(_HEIGHT, summary)]
    for place, value in enumerate(values.tolist()):
        if not np.isfinite(value):
            continue
        height = (base - _TOP) * min(value / highest, 1.0)
        start = seconds * place / len(values)
        parts.append(
            f'<rect class="bar" x="{_LEFT + place * step + 0.5:.1f}" y="{base - height:.1f}" '
            f'width="{max(1.0, step - 1):.1f}" height="{height:.1f}">'
            f"<title>{clock(start)}: {value:.2f}</title></rect>"
        )
    parts.append(f'<text class="tick" x="{_LEFT}" y="{_TOP - 6}">{highest:.3g}</text>')
    return Markup("".join(parts) + _time_axis(base, seconds) + "</svg>")


def lifelines(tracks: tuple[tuple[float, float], ...], seconds: float, summary: str) -> Markup:
    """One line a track, from when the person is first seen to when last."""
    row = 9
    base = _TOP + row * len(tracks)
    wide = _WIDTH - 2 * _LEFT
    parts = [_opening(base + _BOTTOM, summary)]
    for number, (first, last) in enumerate(tracks):
        x, length = _LEFT + wide * first / seconds, max(2.0, wide * (last - first) / seconds)
        parts.append(
            f'<rect class="bar" x="{x:.1f}" y="{_TOP + row * number}" width="{length:.1f}" height="6">'
            f"<title>{clock(first)} to {clock(last)}</title></rect>"
        )
    return Markup("".join(parts) + _time_axis(base, seconds) + "</svg>")


def clock(seconds: float) -> str:
    """0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _opening(height: int, summary: str) -> str:
    return (
        f'<svg class="chart film" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(summary)}">'
    )


def _time_axis(base: int, seconds: float) -> str:
    parts = [f'<line class="axis" x1="{_LEFT}" y1="{base}" x2="{_WIDTH - _LEFT}" y2="{base}"/>']
    for share, anchor in ((0.0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1.0, "end")):
        x = _LEFT + (_WIDTH - 2 * _LEFT) * share
        text = clock(seconds * share)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{base + 14}" text-anchor="{anchor}">{text}</text>')
    return "".join(parts)
