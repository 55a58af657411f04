"""The numbers of a report, counted in one pass over the rows, a shard in memory at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa

from annotator.quality.shown import COLUMNS as SHOWN_COLUMNS
from annotator.quality.shown import CONFIDENT, shown
from annotator.report.picks import People, Person, Ranking, scatter
from annotator.store.reader import Run
from annotator.store.schema import PERSON_BITS

SCORE_BINS = 20
JOINT_BINS = 16
# Upper edges of the classes of people per picture and of person height; the last class is open.
CROWD_EDGES = (1, 2, 3, 4, 5, 6, 11, 21)
HEIGHT_EDGES = (16, 32, 64, 128, 256, 512, 1024)

ERROR_EXAMPLES = 3
TILES = 12
PICTURES = 8
CROWD_DRAWN = 60

_INSTANCE_COLUMNS = ["id", "bbox", "keypoints", "score", "bbox_score", "keypoint_scores", *SHOWN_COLUMNS]


@dataclass(slots=True)
class Histogram:
    """Counts by class.

    Attributes:
        edges: lower edge of every class but the first, ascending; a value on an edge is in the class above.
        counts: one more than edges.
    """

    edges: np.ndarray
    counts: np.ndarray

    @classmethod
    def of_scores(cls, bins: int = SCORE_BINS) -> Histogram:
        """Equal classes from 0 to 1; what is beyond (some heads score so) is in the first and last."""
        return cls(np.arange(1, bins) / bins, np.zeros(bins, np.int64))

    @classmethod
    def of_classes(cls, edges: tuple[int, ...]) -> Histogram:
        return cls(np.array(edges, float), np.zeros(len(edges) + 1, np.int64))

    def add(self, values: np.ndarray) -> None:
        places = np.searchsorted(self.edges, values, side="right")
        self.counts += np.bincount(places.ravel(), minlength=len(self.counts))

    @property
    def total(self) -> int:
        return int(self.counts.sum())


@dataclass(slots=True)
class Joint:
    """One joint among undoubted people: mean raw score, people by v (0, 1, 2), histogram of scores."""

    name: str
    mean: float
    by_v: tuple[int, int, int]
    scores: Histogram


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """Error rows of one "stage/kind", with the first few as (file name, message)."""

    kind: str
    count: int
    examples: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """A whole picture to be shown.

    Attributes:
        image: place in the plan. people: keypoints (K, 3) of each of its undoubted people.
        bboxes: (4,) xywh of each of them; without, no boxes are drawn.
    """

    image: int
    people: list[np.ndarray]
    bboxes: list[np.ndarray] = field(default_factory=list)


@dataclass(slots=True)
class Figures:
    """What is counted.

    Attributes:
        images: rows by status. people: rows of instances.
        undoubted: those with a box score of at least `CONFIDENT` who are neither likely phantoms nor doubles;
            joints are judged on them.
        peopled: images with at least one of those.
        joint_v: joints of undoubted people by v (0, 1, 2).
        groups: people to be shown, by name of the group. pictures: whole pictures to be shown.
    """

    images: Counter[str] = field(default_factory=Counter)
    people: int = 0
    undoubted: int = 0
    peopled: int = 0
    errors: list[ErrorKind] = field(default_factory=list)
    scores: Histogram = field(default_factory=Histogram.of_scores)
    bbox_scores: Histogram = field(default_factory=Histogram.of_scores)
    crowd: Histogram = field(default_factory=lambda: Histogram.of_classes(CROWD_EDGES))
    heights: Histogram = field(default_factory=lambda: Histogram.of_classes(HEIGHT_EDGES))
    joints: list[Joint] = field(default_factory=list)
    groups: dict[str, list[Person]] = field(default_factory=dict)
    pictures: list[ShownPicture] = field(default_factory=list)

    @property
    def joint_v(self) -> tuple[int, int, int]:
        seen = np.array([joint.by_v for joint in self.joints], np.int64).reshape(-1, 3).sum(axis=0)
        return int(seen[0]), int(seen[1]), int(seen[2])

    def to_dict(self) -> dict[str, Any]:
        """The counts in plain JSON form, without what is shown."""
        return {
            "images": dict(self.images),
            "people": self.people,
            "undoubted_people": self.undoubted,
            "images_with_undoubted_people": self.peopled,
            "errors": {error.kind: error.count for error in self.errors},
            "joints": {
                joint.name: {"mean_score": joint.mean, "people_by_v": list(joint.by_v)}
                for joint in self.joints
            },
        }


def collect(run: Run, risk: np.ndarray | None = None) -> Figures:
    """Count the committed rows of a run and choose whom to show.

    Args:
        risk: of each person in the order of the rows, NaN for those who are not in the review queue:
            "doubtful" are those who stand first there. Without it, those with the lowest joint scores.

    Raises:
        UserError: nothing was committed yet.
        RunFailed: a data file is missing or damaged.
    """
    figures = Figures()
    skeleton = run.skeleton
    _count_images(run, figures)
    rankings = {name: Ranking(TILES) for name in ("best", "doubtful", "worst", "random")}
    pictures = Ranking(PICTURES)
    joints = _Joints(len(skeleton))
    for people in _batches(run, len(skeleton)):
        undoubted = people.undoubted
        figures.people += len(people)
        figures.undoubted += int(undoubted.sum())
        figures.scores.add(people.scores)
        figures.bbox_scores.add(people.bbox_scores)
        figures.heights.add(people.bboxes[:, 3])
        joints.add(people.joint_scores[undoubted], people.keypoints[undoubted, :, 2])
        here = None if risk is None else risk[figures.people - len(people) : figures.people]
        _rank(rankings, people, undoubted, here)
        pictures.add(people, np.where(undoubted, scatter(people.images), np.inf))
        figures.peopled += len(np.unique(people.images[undoubted]))
    figures.joints = joints.named(skeleton.keypoints)
    figures.groups = {name: ranking.people() for name, ranking in rankings.items()}
    figures.pictures = _people_of(run, sorted(person.image for person in pictures.people()), len(skeleton))
    return figures


def _rank(
    rankings: dict[str, Ranking], people: People, undoubted: np.ndarray, risk: np.ndarray | None
) -> None:
    never = np.inf
    rankings["best"].add(people, -people.scores.astype(float))
    rankings["worst"].add(people, people.scores.astype(float))
    doubt = people.joint_scores.mean(axis=1) if risk is None else np.where(np.isfinite(risk), -risk, never)
    rankings["doubtful"].add(people, np.where(undoubted, doubt, never))
    rankings["random"].add(people, np.where(undoubted, scatter(people.ids), never))


def _people_of(run: Run, images: list[int], joints: int) -> list[ShownPicture]:
    """The undoubted people of some pictures."""
    pictures = {image: ShownPicture(image, []) for image in images}
    for batch in run.instances(["id", "bbox", "keypoints", "bbox_score", *SHOWN_COLUMNS]):
        of = batch["id"].to_numpy() >> PERSON_BITS
        here = np.flatnonzero(np.isin(of, images) & _undoubted(batch))
        if len(here):
            keypoints = _numbers(batch, "keypoints").reshape(-1, joints, 3)
            bboxes = _numbers(batch, "bbox").reshape(-1, 4)
            for n in here:
                picture = pictures[int(of[n])]
                if len(picture.people) < CROWD_DRAWN:
                    picture.people.append(keypoints[n].copy())
                    picture.bboxes.append(bboxes[n].copy())
    return list(pictures.values())


def _undoubted(batch: pa.RecordBatch) -> np.ndarray:
    return (batch["bbox_score"].to_numpy() >= CONFIDENT) & shown(batch)


def _batches(run: Run, joints: int) -> Iterator[People]:
    sources = _Sources(run)
    for batch in run.instances(_INSTANCE_COLUMNS):
        n = batch.num_rows
        if n:
            ids = batch["id"].to_numpy()
            yield People(
                ids=ids,
                images=ids >> PERSON_BITS,
                sources=sources.of(ids >> PERSON_BITS),
                bboxes=_numbers(batch, "bbox").reshape(n, 4),
                keypoints=_numbers(batch, "keypoints").reshape(n, joints, 3),
                scores=batch["score"].to_numpy(),
                bbox_scores=batch["bbox_score"].to_numpy(),
                joint_scores=_numbers(batch, "keypoint_scores").reshape(n, joints),
                undoubted=_undoubted(batch),
            )


class _Sources:
    """Tells frames of one video from pictures, reading `images` in step with `instances`."""

    def __init__(self, run: Run) -> None:
        self._batches = run.images(["index", "video_uri"])
        self._index = np.empty(0, np.int64)
        self._source = np.empty(0, np.int64)

    def of(self, images: np.ndarray) -> np.ndarray:
        """(N,) int64 by place in the plan, (N,) int64 of one shard, later shards after earlier ones."""
        while not len(self._index) or self._index[-1] < images.max():
            batch = next(self._batches)
            self._index = batch["index"].to_numpy()
            videos = batch["video_uri"].to_pylist()
            # Negative for videos: no picture's place is.
            self._source = np.array(
                [
                    n if video is None else -1 - crc32(video.encode())
                    for n, video in zip(self._index, videos, strict=True)
                ],
                np.int64,
            )
        return self._source[np.searchsorted(self._index, images)]


def _numbers(batch: pa.RecordBatch, column: str) -> np.ndarray:
    return batch[column].flatten().to_numpy()


def _count_images(run: Run, figures: Figures) -> None:
    """Rows by status, error kinds and people a picture."""
    kinds: Counter[str] = Counter()
    examples: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    columns = ["file_name", "status", "num_instances", "error_stage", "error_kind", "error_message"]
    for batch in run.images(columns):
        status = np.array(batch["status"].to_pylist(), dtype=object)
        figures.images.update(status.tolist())
        figures.crowd.add(batch["num_instances"].to_numpy()[status != "error"])
        for row in batch.filter(pa.array(status == "error")).to_pylist():
            kind = f"{row['error_stage']}/{row['error_kind']}"
            kinds[kind] += 1
            if len(examples[kind]) < ERROR_EXAMPLES:
                examples[kind].append((row["file_name"], row["error_message"] or ""))
    figures.errors = [ErrorKind(kind, count, examples[kind]) for kind, count in kinds.most_common()]


class _Joints:
    """Adds up scores and visibility joint by joint."""

    def __init__(self, joints: int) -> None:
        self._sum = np.zeros(joints)
        self._by_v = np.zeros((joints, 3), np.int64)
        self._histograms = [Histogram.of_scores(JOINT_BINS) for _ in range(joints)]

    def add(self, scores: np.ndarray, visibility: np.ndarray) -> None:
        """Scores and v, both (N, K)."""
        self._sum += scores.sum(axis=0, dtype=float)
        for v in range(3):
            self._by_v[:, v] += (visibility == v).sum(axis=0)
        for joint, histogram in enumerate(self._histograms):
            histogram.add(scores[:, joint])

    def named(self, names: tuple[str, ...]) -> list[Joint]:
        people = max(1, int(self._by_v[0].sum())) if len(names) else 1
        return [
            Joint(
                name.replace("_", " "),
                float(self._sum[k] / people),
                (int(self._by_v[k, 0]), int(self._by_v[k, 1]), int(self._by_v[k, 2])),
                self._histograms[k],
            )
            for k, name in enumerate(names)
        ]
