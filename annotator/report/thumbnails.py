"""The pictures of a report: re-read from their sources, cropped, drawn on, and packed as data URIs."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from annotator.media.image import Image
from annotator.media.rows import ROW_COLUMNS, Sources
from annotator.report.drawing import draw_boxes, draw_people
from annotator.report.faces import blur_faces
from annotator.report.figures import Figures, ShownPicture
from annotator.report.picks import Person
from annotator.skeletons import Skeleton
from annotator.store.reader import Run
from annotator.store.schema import PERSON_BITS

# Twice the size on the page, for sharp screens.
TILE = (270, 360)
PICTURE_LONG_SIDE = 760
# A JPEG larger than this is packed again at a lower quality: the page stays below 5 MB whatever is on it.
TILE_BYTES = 36_000
PICTURE_BYTES = 130_000
_QUALITIES = (86, 76, 62, 45, 25)

# How much of the surroundings is shown: the crop's sides over the person's box.
_CONTEXT = 1.4


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture on the page.

    Attributes:
        src: data URI of a JPEG; None where the source cannot be shown.
        width, height: of the JPEG in pixels; 0 without one.
        missing: why there is no picture.
        file_name: of the source. person: who is shown, None for a whole picture.
    """

    src: str | None
    width: int
    height: int
    missing: str
    file_name: str
    person: Person | None = None


@dataclass(frozen=True, slots=True)
class Gallery:
    """All pictures of a report: whole ones, and people by group."""

    pictures: list[Thumbnail]
    groups: dict[str, list[Thumbnail]]

    @property
    def missing(self) -> int:
        """How many cannot be shown."""
        everything = [*self.pictures, *(tile for group in self.groups.values() for tile in group)]
        return sum(tile.src is None for tile in everything)


def make_gallery(run: Run, figures: Figures, blur: bool = False) -> Gallery:
    """Make the thumbnails that `figures` chose. Every source is read once; one is in memory at a time.

    A source that is gone, unreadable or of another size than its row says becomes a thumbnail that says so.

    Args:
        blur: make the faces of all people that the run found in these pictures unrecognisable.
    """
    skeleton = run.skeleton
    wanted: defaultdict[int, list[tuple[str, int, Person | ShownPicture]]] = defaultdict(list)
    for place, shown in enumerate(figures.pictures):
        wanted[shown.image].append(("", place, shown))
    for name, people in figures.groups.items():
        for place, person in enumerate(people):
            wanted[person.image].append((name, place, person))
    done: dict[tuple[str, int], Thumbnail] = {}
    everybody = _everybody(run, wanted) if blur else {}
    with Sources(run) as sources:
        for row in _rows(run, wanted):
            image, why = sources.read(row)
            if image is not None and row["index"] in everybody:
                image = _without_faces(image, *everybody[row["index"]], skeleton)
            for group, place, what in wanted[row["index"]]:
                person = what if isinstance(what, Person) else None
                if image is None:
                    thumbnail = Thumbnail(None, 0, 0, why, row["file_name"], person)
                else:
                    jpeg, width, height = _draw(image, what, skeleton)
                    thumbnail = Thumbnail(_data_uri(jpeg), width, height, "", row["file_name"], person)
                done[group, place] = thumbnail
    return Gallery(
        pictures=[done["", place] for place in range(len(figures.pictures))],
        groups={
            name: [done[name, place] for place in range(len(people))]
            for name, people in figures.groups.items()
        },
    )


def _rows(run: Run, wanted: Iterable[int]) -> Iterable[dict[str, Any]]:
    places = np.array(sorted(wanted), np.int64)
    for batch in run.images(ROW_COLUMNS):
        for n in np.flatnonzero(np.isin(batch["index"].to_numpy(), places)):
            yield batch.slice(int(n), 1).to_pylist()[0]


def _everybody(run: Run, wanted: Iterable[int]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Boxes (N, 4) and keypoints (N, K, 3) of all people of some pictures, by place in the plan."""
    places, joints = np.array(sorted(wanted), np.int64), len(run.skeleton)
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for batch in run.instances(["id", "bbox", "keypoints"]):
        of = batch["id"].to_numpy() >> PERSON_BITS
        for place in np.intersect1d(of, places):
            people = batch.filter(pa.array(of == place))
            found[int(place)] = (
                people["bbox"].flatten().to_numpy().reshape(-1, 4),
                people["keypoints"].flatten().to_numpy().reshape(-1, joints, 3),
            )
    return found


def _without_faces(image: Image, bboxes: np.ndarray, keypoints: np.ndarray, skeleton: Skeleton) -> Image:
    xyv = keypoints.astype(np.float64)
    # Centres of pixels stand on whole numbers before and after.
    xyv[..., :2] = (xyv[..., :2] + 0.5) / image.scale - 0.5
    return replace(image, pixels=blur_faces(image.pixels, bboxes / image.scale, xyv, skeleton))


def _draw(image: Image, what: Person | ShownPicture, skeleton: Skeleton) -> tuple[bytes, int, int]:
    if isinstance(what, Person):
        pixels = person_tile(image, what.bbox, what.keypoints, skeleton)
        limit = TILE_BYTES
    else:
        pixels = picture_tile(image, what.people, skeleton, what.bboxes)
        limit = PICTURE_BYTES
    return _jpeg(pixels, limit), pixels.shape[1], pixels.shape[0]


def person_tile(image: Image, bbox: np.ndarray, keypoints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """One person with surroundings, in the shape of `TILE` where the picture reaches that far.

    Args:
        image: the source. bbox: (4,) xywh. keypoints: (K, 3). Both in pixels of the full upright image.

    Returns:
        (H, W, 3) uint8 RGB, at most `TILE` wide and high.
    """
    x0, y0, x1, y1 = _window(bbox / image.scale, image.pixels.shape[1], image.pixels.shape[0])
    scale = min(TILE[0] / (x1 - x0), TILE[1] / (y1 - y0))
    return _resized(image.pixels[y0:y1, x0:x1], scale, [keypoints], image.scale, (x0, y0), skeleton)


def picture_tile(
    image: Image, people: list[np.ndarray], skeleton: Skeleton, bboxes: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """A whole picture with its people and their boxes, its longer side `PICTURE_LONG_SIDE` pixels at most."""
    scale = min(1.0, PICTURE_LONG_SIDE / max(image.pixels.shape[:2]))
    drawn = _resized(image.pixels, scale, people, image.scale, (0, 0), skeleton)
    return draw_boxes(drawn, np.reshape(bboxes, (-1, 4)) * scale / image.scale)


def _window(bbox: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    """The part of the picture to show, in the shape of `TILE`, moved and cut to lie within the picture."""
    x, y, w, h = bbox
    aspect = TILE[0] / TILE[1]
    tall = max(_CONTEXT * max(h, w / aspect), 32.0)
    wide = tall * aspect
    x0 = float(np.clip(x + w / 2 - wide / 2, 0, max(0.0, width - wide)))
    y0 = float(np.clip(y + h / 2 - tall / 2, 0, max(0.0, height - tall)))
    left, top = min(int(x0), width - 1), min(int(y0), height - 1)
    right, bottom = min(round(x0 + wide), width), min(round(y0 + tall), height)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _resized(
    pixels: np.ndarray,
    scale: float,
    people: list[np.ndarray],
    reduced: int,
    origin: tuple[int, int],
    skeleton: Skeleton,
) -> np.ndarray:
    """Pixels at `scale`, with people drawn at the final size, so that lines are of one width everywhere."""
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if not people:
        return small
    moved = np.array(people, np.float64)
    # Centres of pixels stand on whole numbers before and after.
    moved[..., :2] = ((moved[..., :2] + 0.5) / reduced - origin) * scale - 0.5
    return draw_people(small, moved, skeleton)


def _jpeg(pixels: np.ndarray, limit: int) -> bytes:
    encoded = np.empty(0, np.uint8)
    for quality in _QUALITIES:
        _, encoded = cv2.imencode(
            ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        if len(encoded) <= limit:
            break
    return encoded.tobytes()


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
