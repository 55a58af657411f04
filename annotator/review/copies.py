"""JPEGs beside the run of what browsers cannot show as it is: frames of films, HEIC, TIFF, odd file names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from annotator.errors import UserError
from annotator.media.rows import ROW_COLUMNS, Sources
from annotator.store.person_ids import item_of
from annotator.store.reader import Run
from annotator.store.review_folder import copies_folder, other_copies

MAX_COPIES = 2000
_QUALITY = 92

# What Chromium, Firefox and Safari all draw.
_SHOWN = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".avif"))


@dataclass(slots=True)
class Copies:
    """What stands in for sources that cannot be shown.

    Attributes:
        paths: of the JPEGs, by place in the plan.
        left_out: places whose copy would be beyond the limit.
        unreadable: places whose source is gone or has changed; they are loaded all the same.
    """

    paths: dict[int, str] = field(default_factory=dict)
    left_out: set[int] = field(default_factory=set)
    unreadable: set[int] = field(default_factory=set)


def make(run: Run, risk: np.ndarray, limit: int, quiet: bool, loaded: Callable[[], set[int]] = set) -> Copies:
    """Make the copies that are missing: of the `limit` riskiest images, and of those that are loaded already.

    Copies that are not of this run are removed.

    Args:
        risk: (N,) of the run's people, in the order of its rows; NaN of those in doubt, who count least.
        loaded: gives the places in the plan that have a sample already, which would not be renewed if they
            were left out; asked only where some would be.
    """
    from tqdm import tqdm

    for path in other_copies(run.path, run.info):
        path.unlink(missing_ok=True)
    copies = Copies()
    wanted = _wanted(run)
    if not wanted:
        return copies
    worst = _worst(run, risk)
    ranked = sorted(wanted, key=lambda place: (-worst.get(place, -1.0), place))
    if beyond := set(ranked[max(limit, 0) :]):
        copies.left_out = beyond - loaded()
    chosen = set(wanted) - copies.left_out
    folder = copies_folder(run.path, run.info)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create {folder}: {error.strerror}") from None
    with Sources(run) as sources, tqdm(total=len(chosen), unit="copy", desc="copying", disable=quiet) as bar:
        for row in _rows(run):
            if row["index"] not in chosen:
                continue
            path = folder / f"{row['index']}.jpg"
            if path.is_file() or _copy(sources, row, path):
                copies.paths[row["index"]] = str(path)
            else:
                copies.unreadable.add(row["index"])
            bar.update()
    return copies


def needs_copy(row: dict[str, Any]) -> bool:
    """Whether a row of `images` (uri, video_uri, status) is of something that browsers cannot show."""
    if row["status"] == "error":
        return False
    return (
        row["video_uri"] is not None or "://" in row["uri"] or Path(row["uri"]).suffix.lower() not in _SHOWN
    )


def _wanted(run: Run) -> list[int]:
    columns = ["index", "uri", "video_uri", "status"]
    return [row["index"] for batch in run.images(columns) for row in batch.to_pylist() if needs_copy(row)]


def _worst(run: Run, risk: np.ndarray) -> dict[int, float]:
    """The highest risk of each image that has people."""
    worst: dict[int, float] = {}
    begin = 0
    for batch in run.instances(["id"]):
        of = np.nan_to_num(risk[begin : begin + batch.num_rows]).tolist()
        for person, value in zip(batch["id"].to_pylist(), of, strict=True):
            place = item_of(person)
            worst[place] = max(value, worst.get(place, 0.0))
        begin += batch.num_rows
    return worst


def _rows(run: Run):
    for batch in run.images(ROW_COLUMNS):
        yield from batch.to_pylist()


def _copy(sources: Sources, row: dict[str, Any], path: Path) -> bool:
    import cv2

    image, _ = sources.read(row)
    if image is None:
        return False
    done, jpeg = cv2.imencode(".jpg", image.pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if done:
        aside = path.with_suffix(".tmp")
        aside.write_bytes(jpeg.tobytes())
        aside.replace(path)
    return done
