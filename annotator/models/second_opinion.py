"""A second pose model on the same boxes: how far both agree on everybody, or only for those who need it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from annotator.errors import UserError
from annotator.models.estimator import Estimator
from annotator.models.topdown import TopDown
from annotator.people import Detections, Poses
from annotator.pose.oks import joint_similarity


@dataclass(frozen=True, slots=True)
class CascadeRule:
    """Who needs the second model: a person who is probably there, and of whose pose the first is not sure.

    Attributes:
        bbox_score: from which a box counts as a person; the others keep the first model's pose.
        pose_score: mean keypoint score below which a pose is not sure.
        flip_oks: OKS of the crop's pose with that of its mirror image, below which neither is it.
    """

    bbox_score: float
    pose_score: float
    flip_oks: float

    def __call__(self, poses: Poses, sigmas: np.ndarray) -> np.ndarray:
        """(N,) bool. A pose with values that are not finite needs the second model."""
        doubtful = ~(poses.keypoint_scores.mean(axis=1) >= self.pose_score)
        if poses.halves is not None:
            agreement = joint_similarity(poses.halves[:, 0], poses.halves[:, 1], _areas(poses), sigmas)
            doubtful |= ~(agreement.mean(axis=1) >= self.flip_oks)
        return doubtful & (poses.bbox_scores >= self.bbox_score)


class SecondOpinion(Estimator):
    """Two top-down models on the same boxes, as one.

    Without a rule the poses are the first model's, and `second_oks` and `keypoint_agreement` say how far the
    second agrees; coordinates are never averaged. With a rule the second poses only those who need it: its
    pose replaces the first's, `posed_by` says whose it is, and agreement is known for them alone.

    Args:
        first: poses everybody.
        second: another model of the same joints.
        names: what `posed_by` calls them.
        rule: who needs the second; None: everybody is shown to both.

    Attributes:
        input_size: of the first.

    Raises:
        UserError: the models do not place the same joints.
    """

    def __init__(
        self, first: TopDown, second: TopDown, names: tuple[str, str], rule: CascadeRule | None = None
    ) -> None:
        if first.skeleton.keypoints != second.skeleton.keypoints:
            raise UserError(
                f"--second-pose {names[1]} places {len(second.skeleton)} joints of {second.skeleton.name}, "
                f"{names[0]} {len(first.skeleton)} of {first.skeleton.name}: take two models of one skeleton"
            )
        self.skeleton, self.input_size = first.skeleton, first.input_size
        self._first, self._second, self._names, self._rule = first, second, names, rule
        self._sigmas = np.array(self.skeleton.sigmas)
        self._figures = _no_figures()
        first.on_batch = second.on_batch = lambda: self.on_batch()

    @property
    def batch_people(self) -> int:
        """People who fill a pass of either network."""
        return min(self._first.batch_people, self._second.batch_people)

    @property
    def alone(self) -> tuple[TopDown, ...]:
        """Both, where everybody is shown to both; none with a rule."""
        return (self._first, self._second) if self._rule is None else ()

    def estimate(self, images: Sequence[np.ndarray], boxes: Sequence[Detections]) -> list[Poses]:
        """Keypoints of the people in some images; arguments and result as of `TopDown.estimate`."""
        start = time.perf_counter()
        poses = self._first.estimate(images, boxes)
        asked = [
            np.ones(len(one), bool) if self._rule is None else self._rule(one, self._sigmas) for one in poses
        ]
        middle = time.perf_counter()
        places = [place for place, mask in enumerate(asked) if mask.any()]
        others = self._second.estimate(
            [images[place] for place in places], [_some(boxes[place], asked[place]) for place in places]
        )
        self._figures["first_seconds"] += middle - start
        self._figures["second_seconds"] += time.perf_counter() - middle
        self._figures["first_people"] += sum(map(len, poses))
        self._figures["second_people"] += sum(map(len, others))
        found = dict(zip(places, others, strict=True))
        return [
            self._together(one, found.get(place, one.of(mask)), mask)
            for place, (one, mask) in enumerate(zip(poses, asked, strict=True))
        ]

    def take_figures(self) -> dict[str, float]:
        """Seconds and people of each model since the last call."""
        figures, self._figures = self._figures, _no_figures()
        return figures

    def _together(self, poses: Poses, other: Poses, asked: np.ndarray) -> Poses:
        """Poses of one image, with the second model's `other` of the people that it was asked about."""
        agreement = np.full(poses.keypoint_scores.shape, np.nan, np.float32)
        # A pose that is not finite is no opinion.
        good = np.isfinite(other.keypoints).all(axis=(1, 2)) & np.isfinite(other.scores)
        replaced = asked.copy()
        replaced[asked] = good
        agreement[replaced] = joint_similarity(
            poses.keypoints[replaced], other.keypoints[good], _areas(poses)[replaced], self._sigmas
        )
        poses = replace(poses, second_oks=agreement.mean(axis=1), keypoint_agreement=agreement)
        if self._rule is None:
            return poses
        return replace(
            poses,
            keypoints=_replaced(poses.keypoints, other.keypoints[good], replaced),
            keypoint_scores=_replaced(poses.keypoint_scores, other.keypoint_scores[good], replaced),
            scores=_replaced(poses.scores, other.scores[good], replaced),
            keypoint_entropies=_merged(poses.keypoint_entropies, other.keypoint_entropies, good, replaced),
            halves=_merged(poses.halves, other.halves, good, replaced),
            posed_by=np.where(replaced, self._names[1], self._names[0]),
        )


def _no_figures() -> dict[str, float]:
    return {"first_seconds": 0.0, "second_seconds": 0.0, "first_people": 0, "second_people": 0}


def _areas(poses: Poses) -> np.ndarray:
    """(N,) square pixels of the boxes."""
    return poses.bboxes[:, 2] * poses.bboxes[:, 3]


def _some(people: Detections, mask: np.ndarray) -> Detections:
    return Detections(people.bboxes[mask], people.scores[mask])


def _replaced(values: np.ndarray, others: np.ndarray, mask: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[mask] = others
    return values


def _merged(
    values: np.ndarray | None, others: np.ndarray | None, good: np.ndarray, mask: np.ndarray
) -> np.ndarray | None:
    """As `_replaced`, for what one of the models may not give: NaN for its people; None if neither does."""
    like = values if values is not None else others
    if like is None:
        return None
    result = np.full((len(mask), *like.shape[1:]), np.nan, np.float32)
    if values is not None:
        result[~mask] = values[~mask]
    if others is not None:
        result[mask] = others[good]
    return result
