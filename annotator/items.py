"""One input of a run, as the plan knows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GivenBox:
    """A person box that came with the input and is used as it is.

    Attributes:
        bbox: (x, y, w, h) float64, pixels of the upright image.
        score: of the detector that made it; None for an annotation.
    """

    bbox: tuple[float, float, float, float]
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One input: a picture, one frame of a video, or a video that could not be indexed.

    Attributes:
        index: place in the plan, from 0.
        image_id: COCO's own id for COCO input, else a stable 53-bit hash of the URI (and time stamp).
        uri: absolute local path, or a file:// URI where a path is not valid UTF-8; with "#" and the frame's
            number behind it for a frame.
        file_name: path with forward slashes, relative to the input it came from; unique in the plan.
        shard: number of its shard; a shard's items are neighbours.
        boxes: None when no boxes were given; () when boxes were given and this image has none.
        video_uri: URI of the video; None for a picture.
        frame_index: number of the frame in its video, from 0, in the order of presentation; None for a video
            that could not be indexed, as are the next three.
        pts: presentation time stamp, in units of the stream's time base; where frames are counted, its number
            among all that are decoded.
        time: seconds from the video's first frame.
        keyframe_pts: of the keyframe that decoding starts from; None where frames must be counted from the
            video's beginning.
    """

    index: int
    image_id: int
    uri: str
    file_name: str
    shard: int
    boxes: tuple[GivenBox, ...] | None = None
    video_uri: str | None = None
    frame_index: int | None = None
    pts: int | None = None
    time: float | None = None
    keyframe_pts: int | None = None

    @property
    def is_frame(self) -> bool:
        """Whether it is one frame of a video."""
        return self.frame_index is not None
