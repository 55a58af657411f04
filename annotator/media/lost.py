"""Rows that stand for what could not be read of a video when the run was planned: why, told anew."""

from __future__ import annotations

import threading
from typing import NoReturn

from annotator.errors import ItemError
from annotator.items import Item
from annotator.media.scan import VideoIndex
from annotator.media.video import index_video


class LostStretches:
    """Tells what such rows are missing; for several threads. The latest video's index is kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: tuple[str, VideoIndex] | None = None

    def tell(self, item: Item, uri: str) -> NoReturn:
        """Raise the ItemError of `item`, of the video `uri`: what is wrong with it, or that it changed."""
        index = self._index(uri)
        if item.time is None:
            raise ItemError("decode", "changed", "the video could not be read when the run was planned")
        for start, end in index.lost:
            if abs(start - item.time) < 0.001:
                message = f"nothing can be read from {start:.3f} s to {end:.3f} s: damaged or cut off"
                raise ItemError("decode", "lost_stretch", message)
        raise ItemError(
            "decode",
            "changed",
            f"from {item.time:.3f} s on nothing could be read when the run was planned; plan a new run",
        )

    def _index(self, uri: str) -> VideoIndex:
        """The stretches of a video follow one another, and to index it is to read the whole."""
        with self._lock:
            if self._last is None or self._last[0] != uri:
                self._last = uri, index_video(uri)
            return self._last[1]
