"""What reviews say of a run's labels: which were bad, which joints were right, how long a person takes."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from annotator.pose.oks import joint_similarity
from annotator.quality import pace
from annotator.quality.labelled import RIGHT, Labelled
from annotator.quality.queue import Queue
from annotator.store.reader import Run
from annotator.store.reviews import ACCEPTED, REJECTED, SENT_BACK, Review, read

# COCO's areas are of the outline: on COCO val2017, half of the box.
_OUTLINE = 0.5


def verdicts(run: Run, bad_below: float) -> tuple[np.ndarray, np.ndarray]:
    """Whom a reviewer has judged, and whose label was bad: two (N,) bool in the order of the run's rows.

    Bad are those rejected or sent back, and those whose correction has an OKS below `bad_below` with the
    prediction. Nobody has judged those whose correction cannot be read or whose prediction has changed since.
    """
    reviews, known, bad = read(run), [np.zeros(0, bool)], [np.zeros(0, bool)]
    sigmas = np.array(run.skeleton.sigmas)
    for batch in run.instances(["id", "keypoints", "area"]):
        judged, wrong = np.zeros(batch.num_rows, bool), np.zeros(batch.num_rows, bool)
        for place, person in enumerate(batch["id"].to_pylist()):
            review = reviews.get(person)
            if review is not None and _judges(review):
                judged[place] = True
                similarity, labelled = _similarity(batch, place, review, sigmas)
                oks = similarity[labelled].mean() if labelled.any() else 1.0
                wrong[place] = review.decision in (REJECTED, SENT_BACK) or oks < bad_below
        known.append(judged)
        bad.append(wrong)
    return np.concatenate(known), np.concatenate(bad)


def reviewed(run: Run) -> Labelled:
    """The people of a run beside what reviewers made of them: joints accepted or corrected are right.

    People who were rejected or sent back, or of whom nobody said anything that holds, count as unmatched.
    """
    reviews, sigmas, joints = read(run), np.array(run.skeleton.sigmas), len(run.skeleton)
    images, visibility, right, oks = [], [], [], []
    for batch in run.instances(["id", "image_id", "keypoints", "area"]):
        images.append(batch["image_id"].to_numpy())
        for place, person in enumerate(batch["id"].to_pylist()):
            review = reviews.get(person)
            told = np.zeros(joints, np.int8)
            similarity = np.zeros(joints)
            if review is not None and _judges(review) and review.decision in (ACCEPTED, None):
                similarity, labelled = _similarity(batch, place, review, sigmas)
                told = labelled.astype(np.int8)
            visibility.append(told)
            right.append((similarity >= RIGHT) & (told > 0))
            oks.append(similarity[told > 0].mean() if told.any() else 0.0)
    seen = np.array(visibility, np.int8).reshape(-1, joints)
    matched = np.asarray(seen.any(axis=1))
    return Labelled(
        np.concatenate([np.zeros(0, np.int64), *images]),
        matched,
        matched,
        np.array(oks, np.float64),
        seen,
        np.array(right, bool).reshape(-1, joints),
        0,
    )


def seconds_a_person(run: Run) -> float | None:
    """Median time between neighbouring decisions of a reviewer; None before there are two."""
    return pace.seconds_a_person(
        (review.reviewer, datetime.fromisoformat(review.time))
        for review in read(run).values()
        if review.time is not None
    )


def undecided(run: Run, queue: Queue) -> int:
    """People of the queue whom nobody has decided about."""
    decided = [person for person, review in read(run).items() if review.decision is not None]
    return int((queue.shown & ~np.isin(queue.ids, decided)).sum())


def _judges(review: Review) -> bool:
    """Whether a reviewer said of the joints as they are now what they are: not if all was withdrawn."""
    return review.holds and (review.decision is not None or review.keypoints is not None)


def _similarity(batch, place: int, review: Review, sigmas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Terms of OKS (K,) of the prediction with what the reviewer left, and which joints are labelled."""
    predicted = np.array(batch["keypoints"][place].as_py()).reshape(-1, 3)
    left = predicted if review.keypoints is None else np.array(review.keypoints).reshape(-1, 3)
    area = np.array([batch["area"][place].as_py() * _OUTLINE])
    similarity = joint_similarity(predicted[None, :, :2], left[None, :, :2], area, sigmas)[0]
    return similarity, left[:, 2] > 0
