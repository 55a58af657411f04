"""The pictures and frames behind the rows, read again after the run; what is gone is said, not raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from annotator.errors import AnnotatorError, ItemError
from annotator.media.image import Image, read_image
from annotator.store.reader import Run

if TYPE_CHECKING:
    from annotator.media.decoding import FrameReader

ROW_COLUMNS = ["index", "uri", "file_name", "shard", "width", "height", "video_uri"]


class Sources:
    """Reads what rows of `images` were made from. One video at a time is open."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._video: tuple[str, FrameReader] | None = None

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, *_: object) -> None:
        if self._video is not None:
            self._video[1].close()
            self._video = None

    def read(self, row: dict[str, Any]) -> tuple[Image | None, str]:
        """The source of a row (`ROW_COLUMNS`), or None and why it cannot be shown."""
        try:
            image = read_image(row["uri"]) if row["video_uri"] is None else self._frame(row)
        except ItemError as error:
            return None, f"{error.kind.replace('_', ' ')}: {error.message}"
        if (image.width, image.height) != (row["width"], row["height"]):
            return None, (
                f"changed since the run: {image.width} x {image.height} pixels now, "
                f"{row['width']} x {row['height']} then"
            )
        return image, ""

    def _frame(self, row: dict[str, Any]) -> Image:
        from annotator.media.decoding import FrameReader

        if self._video is None or self._video[0] != row["video_uri"]:
            self.__exit__()
            self._video = (row["video_uri"], FrameReader(row["video_uri"]))
        try:
            # How to find a frame stands in the plan alone.
            items = self._run.plan.items(row["shard"])
        except AnnotatorError as error:
            raise ItemError("read", "no_plan", str(error)) from None
        for item in items:
            if item.index == row["index"]:
                return self._video[1].read(item)
        raise ItemError("read", "no_plan", "the plan does not know this frame")
