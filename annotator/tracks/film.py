"""A whole film: people followed from frame to frame, and what was lost meanwhile linked again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from annotator.tracks.follow import Follower, FollowSettings
from annotator.tracks.link import LinkSettings, link
from annotator.tracks.people import FramePeople

# Who is seen less often in a whole film is nobody's track: mostly flicker of the detector.
FEWEST_OBSERVATIONS = 3


def follow_film(
    frames: Iterable[FramePeople],
    sigmas: np.ndarray,
    settings: FollowSettings | None = None,
    links: LinkSettings | None = None,
) -> Iterator[np.ndarray]:
    """The track of each person of each frame: (N,) int64, numbers from 0 without order, -1 for nobody's.

    The result depends on the frames alone. Frames are taken one by one; of each person 4 bytes are kept.

    Args:
        frames: in the order of time.
        sigmas: (K,) OKS constants of the skeleton.
    """
    follower = Follower(sigmas, settings)
    found = [follower.step(people).astype(np.int32) for people in frames]
    track = link(follower.tracklets, links)
    seen = np.bincount(track, [tracklet.count for tracklet in follower.tracklets], len(track))
    track[seen[track] < FEWEST_OBSERVATIONS] = -1
    for tracklets in found:
        yield np.where(tracklets >= 0, track[tracklets], -1) if len(track) else tracklets.astype(np.int64)
