"""Ground truth beside the predictions, and how far each person is from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from annotator.evaluate.pairs import around_ignored
from annotator.evaluate.truth import TruePeople, Truth
from annotator.evaluate.truth import read_truth as read_coco
from annotator.pose.oks import oks_matrix
from annotator.review.documents import Document
from annotator.review.identifiers import Identifiers, Kind
from annotator.review.mirror import to_fractions
from annotator.store.reader import Run
from annotator.store.schema import instance_ids

# From here on a labelled person counts as found.
FOUND = 0.5


@dataclass(frozen=True, slots=True)
class RunTruth:
    """The ground truth of a run's images.

    Attributes:
        truth: as read. sigmas: (K,) of the run's skeleton.
    """

    truth: Truth
    sigmas: np.ndarray

    @property
    def matched(self) -> int:
        """Images of the run that the ground truth has."""
        return len(self.truth.matching.gt_of)

    def compare(
        self, images: pa.RecordBatch, instances: pa.RecordBatch, identifiers: Identifiers
    ) -> tuple[np.ndarray, dict[int, tuple[Document, Document, int]]]:
        """OKS of each person, and the labels of the ground truth, of one shard.

        Returns:
            (N,) float32: the best OKS with a labelled person of the image, 0 where there is none; NaN where
            the ground truth does not know the image, and of people in crowds and around somebody without
            labelled joints, unless they were found. And by image_id: (boxes, keypoints, how many labelled
            people nobody was found for).
        """
        count = instances.num_rows
        oks = np.full(count, np.nan, np.float32)
        bboxes = instances["bbox"].flatten().to_numpy().reshape(count, 4)
        keypoints = instances["keypoints"].flatten().to_numpy().reshape(count, len(self.sigmas), 3)
        of_image = _places(instances["image_id"].to_numpy())
        labels = {}
        for row in images.select(["index", "image_id", "width", "height"]).to_pylist():
            theirs = self.truth.matching.gt_of.get(row["image_id"])
            if theirs is None or row["width"] is None:
                continue
            people = self.truth.of(theirs)
            places = of_image.get(row["image_id"], np.zeros(0, np.int64))
            oks[places], found = self._compare(people, bboxes[places], keypoints[places, :, :2])
            size = (row["width"], row["height"])
            labels[row["image_id"]] = _labels(row["index"], people, found, size, identifiers)
        return oks, labels

    def _compare(
        self, people: TruePeople, bboxes: np.ndarray, keypoints: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(N,) OKS of predictions, and (M,) bool: which of the labelled people were found."""
        best, found, counted = np.zeros(len(bboxes)), np.zeros(len(people), bool), people.counted
        if counted.any() and len(bboxes):
            joints = people.keypoints[counted]
            labelled = np.broadcast_to(joints[None, ..., 2] > 0, (len(bboxes), *joints.shape[:2]))
            areas = people.areas[counted]
            matrix = oks_matrix(keypoints, None, joints[..., :2], areas, self.sigmas, labelled)
            best = matrix.max(axis=1)
            found[counted] = matrix.max(axis=0) >= FOUND
        best[around_ignored(bboxes, people) & (best < FOUND)] = np.nan
        return best.astype(np.float32), found


def read_truth(run: Run, path: str) -> RunTruth:
    """Read a COCO keypoint file and find the run's images in it.

    Raises:
        UserError: unusable, other joints, or no image in common.
    """
    return RunTruth(read_coco(path, _names(run), len(run.skeleton)), np.array(run.skeleton.sigmas))


def _names(run: Run) -> Iterator[tuple[int, str]]:
    for batch in run.images(["image_id", "file_name"]):
        yield from zip(batch["image_id"].to_pylist(), batch["file_name"].to_pylist(), strict=True)


def _places(image_ids: np.ndarray) -> dict[int, np.ndarray]:
    places = defaultdict(list)
    for place, image_id in enumerate(image_ids.tolist()):
        places[image_id].append(place)
    return {image_id: np.array(of) for image_id, of in places.items()}


def _labels(
    index: int, people: TruePeople, found: np.ndarray, size: tuple[int, int], identifiers: Identifiers
) -> tuple[Document, Document, int]:
    boxes, keypoints = [], []
    bboxes = (people.bboxes / (*size, *size)).tolist()
    points = np.where(people.keypoints[..., 2:] > 0, to_fractions(people.keypoints[..., :2], size), np.nan)
    for n, number in enumerate(instance_ids(index, len(people))):
        shared = {
            "attributes": {},
            "tags": [],
            "label": "crowd" if people.crowd[n] else "person",
            "instance": {"_id": identifiers.of(Kind.TRUTH_INSTANCE, number), "_cls": "Instance"},
        }
        label = {"_id": identifiers.of(Kind.TRUTH_BOX, number), "_cls": "Detection"}
        label["bounding_box"] = bboxes[n]
        boxes.append(label | shared)
        if people.counted[n]:
            label = {"_id": identifiers.of(Kind.TRUTH_KEYPOINTS, number), "_cls": "Keypoint"} | shared
            visible = people.keypoints[n, :, 2].astype(int).tolist()
            label |= {"points": points[n].tolist(), "visible": visible, "found": bool(found[n])}
            keypoints.append(label)
    missed = int((people.counted & ~found).sum())
    return (
        {"_cls": "Detections", "detections": boxes},
        {"_cls": "Keypoints", "keypoints": keypoints},
        missed,
    )
