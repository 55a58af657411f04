"""Identities kept in synthetic crossings: ours beside ByteTrack and SORT of the `trackers` package.

    python jobs/benchmark_tracks.py [--seeds 10] [--seconds 24] [--fps 12.5]

Twenty people walk to and fro before one camera. "true": every visible person with its true box and joints.
"any": a quarter of the detections is missing, whichever, and boxes and joints are off by 1% of the person's
height. "hidden": the same, those missed first who are mostly behind somebody, so that gaps are long. Truth
counts everybody, so that with a quarter missing nobody can have an IDF1 above 0.857.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from annotator.evaluate.identity import Identities, identity_scores
from annotator.skeletons import COCO_17
from annotator.synth.crowd import Crowd
from annotator.tracks.film import follow_film
from annotator.tracks.people import FramePeople

MISSING = 0.25


@dataclass(frozen=True, slots=True)
class Scene:
    """What is true and what was detected, frame by frame."""

    truth: list[Identities]
    people: list[FramePeople]


def scene(seed: int, seconds: float, fps: float, missing: float, hidden_below: float = 0.0) -> Scene:
    """Twenty walkers; with `missing`, that share of detections is dropped and the rest is made noisy.

    Args:
        hidden_below: people of whom a smaller share is free are missed first.
    """
    crowd, rng = Crowd(seed), np.random.default_rng([seed, 1])
    truth, people = [], []
    for number in range(round(seconds * fps)):
        shown = crowd.frame(number / fps)
        truth.append(Identities(shown.identities, shown.bboxes))
        keep = np.ones(len(shown.identities), bool)
        bboxes, keypoints = shown.bboxes.copy(), shown.keypoints.copy()
        if missing:
            hidden = shown.shares < hidden_below
            rest = (missing - hidden.mean()) / max(1 - hidden.mean(), 1e-9)
            keep = ~hidden & (rng.random(len(bboxes)) >= rest)
            off = 0.01 * bboxes[:, 3]
            bboxes += rng.normal(size=bboxes.shape) * off[:, None]
            keypoints[..., :2] += rng.normal(size=keypoints[..., :2].shape) * off[:, None, None]
        people.append(
            FramePeople(
                time=number / fps,
                bboxes=bboxes[keep],
                sure=np.ones(int(keep.sum()), bool),
                keypoints=keypoints[keep, :, :2],
                located=keypoints[keep, :, 2] > 0,
            )
        )
    return Scene(truth, people)


def ours(made: Scene) -> Iterator[Identities]:
    """As `annotator run` does it."""
    for people, ids in zip(made.people, follow_film(made.people, np.array(COCO_17.sigmas)), strict=True):
        yield Identities(ids[ids >= 0], people.bboxes[ids >= 0])


def theirs(made: Scene, fps: float, name: str) -> Iterator[Identities]:
    """A tracker of the `trackers` package, with its defaults."""
    import supervision
    import trackers

    tracker = getattr(trackers, name)(frame_rate=fps)
    for people in made.people:
        xyxy = np.concatenate([people.bboxes[:, :2], people.bboxes[:, :2] + people.bboxes[:, 2:]], axis=1)
        given = supervision.Detections(
            xyxy=xyxy.astype(np.float32),
            confidence=np.full(len(xyxy), 0.9, np.float32),
            class_id=np.zeros(len(xyxy), int),
        )
        found = tracker.update(given)
        ids = np.asarray(found.tracker_id if found.tracker_id is not None else [], np.int64)
        boxes = found.xyxy.reshape(-1, 4).astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        yield Identities(ids[ids >= 0], boxes[ids >= 0])


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=24.0)
    parser.add_argument("--fps", type=float, default=12.5)
    options = parser.parse_args()
    print(f"{'detections':<12}{'tracker':<18}{'IDF1':>7}{'IDP':>7}{'IDR':>7}{'switches':>10}{'frames/s':>10}")
    for kind, missing, hidden in (("true", 0.0, 0.0), ("any", MISSING, 0.0), ("hidden", MISSING, 0.5)):
        made = [scene(seed, options.seconds, options.fps, missing, hidden) for seed in range(options.seeds)]
        lost = 1 - sum(len(p) for m in made for p in m.people) / sum(
            len(t.ids) for m in made for t in m.truth
        )
        for name in ("ours", "SORTTracker", "ByteTrackTracker"):
            began = time.perf_counter()
            found = [list(ours(m) if name == "ours" else theirs(m, options.fps, name)) for m in made]
            rate = options.seeds * len(made[0].truth) / (time.perf_counter() - began)
            all_scores = [
                identity_scores(zip(m.truth, f, strict=True)) for m, f in zip(made, found, strict=True)
            ]
            mean = np.mean([[s.idf1, s.precision, s.recall] for s in all_scores], axis=0)
            switches = sum(s.switches for s in all_scores)
            label = kind if not missing else f"-{100 * lost:.0f}% {kind}"
            print(
                f"{label:<12}{name:<18}{mean[0]:>7.3f}{mean[1]:>7.3f}{mean[2]:>7.3f}{switches:>10}{rate:>10.0f}"
            )


if __name__ == "__main__":
    main()
