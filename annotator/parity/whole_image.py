"""Models for whole images against MMPose's `inference_bottomup`: the network's input, raw outputs, people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.spatial import KDTree

from annotator.models.engines.outputs import tensors
from annotator.models.sources import RANDOM, ModelSource
from annotator.models.whole_image.estimator import WholeImage, WholeImageInput
from annotator.parity.pictures import Picture
from annotator.parity.random_weights import label
from annotator.parity.reference import Reference
from annotator.parity.topdown import GREY_LIMIT, NETWORK_LIMIT, SHIFT_LIMIT, displacement, relative
from annotator.parity.verdict import Finding, Verdict
from annotator.people import Poses
from annotator.pose.oks import oks_matrix

_SCORE_LIMIT = 1e-5
_PLACE_LIMIT = 0.02
# People who may be at one place.
_NEIGHBOURS = 8
# People more alike than this are the same one to our suppression, which MMPose leaves to its metric.
_SAME = 0.8


def check(source: ModelSource, pictures: Sequence[Picture], model: WholeImage | None = None) -> Verdict:
    """Compare a bottom-up or one-stage model with MMPose's.

    Args:
        pictures: at least one; their boxes play no part.
        model: ours; built from `source` when absent.
    """
    ours = model or WholeImage(source)
    theirs = Reference(source)
    inputs = [ours.prepare(picture.pixels) for picture in pictures]
    packed = theirs.packed_whole(pictures)
    weights = label(source)
    findings, notes = [*_inputs(inputs, packed), _network(ours, theirs, inputs, packed)], []
    people = [_people(ours, theirs, *both) for both in zip(pictures, inputs, strict=True)]
    found, expected = [one for one, _ in people], [other for _, other in people]
    longest = [max(picture.pixels.shape) for picture in pictures]
    findings += compare(found, expected, longest, np.array(ours.skeleton.sigmas))
    compared = sum(int(_within(one.keypoints, side).sum()) for one, side in zip(found, longest, strict=True))
    if not compared:
        notes.append("nobody was found in or near the pictures: people are not compared")
    elif weights == RANDOM:
        notes.append("random weights: the comparison holds, the people mean nothing")
    return Verdict(source.name, theirs.codec, weights, compared, tuple(findings), tuple(notes))


def _inputs(inputs: Sequence[Any], packed: Sequence[dict[str, Any]]) -> list[Finding]:
    grey = shift = 0.0
    for ours, theirs in zip(inputs, packed, strict=True):
        expected = theirs["inputs"].permute(1, 2, 0).flip(-1).numpy()
        if expected.shape != ours.pixels.shape:
            grey = shift = float("nan")
            break
        grey = max(grey, float(np.abs(ours.pixels.astype(np.int16) - expected).mean()))
        shift = max(shift, displacement(ours.pixels, expected))
    return [
        Finding("preprocessing", "network's input", grey, GREY_LIMIT, "grey levels on average"),
        Finding("preprocessing", "shift of the input", shift, SHIFT_LIMIT, "px"),
    ]


def _network(
    ours: WholeImage, theirs: Reference, inputs: Sequence[Any], packed: Sequence[dict[str, Any]]
) -> Finding:
    """The largest difference of raw outputs."""
    network, worst = ours._network, 0.0
    for one, reference in zip(inputs, packed, strict=True):
        with torch.inference_mode():
            pixels = network.normalise(torch.from_numpy(one.pixels[None]))
            found = ours._head.layers.forward(network(pixels))
        expected = theirs.raw_outputs([reference])
        for a, b in zip(tensors(found), tensors(expected), strict=True):
            worst = max(worst, relative(a, b))
    return Finding("network", "raw outputs", worst, NETWORK_LIMIT, "of the largest")


def _people(ours: WholeImage, theirs: Reference, picture: Picture, prepared: WholeImageInput) -> Any:
    """The people of one picture, ours and those of `inference_bottomup`."""
    from mmpose.apis import inference_bottomup

    from annotator.models.openmmlab.build import default_scope

    with default_scope("mmpose"):
        pixels = np.ascontiguousarray(picture.pixels[..., ::-1])
        expected = inference_bottomup(theirs.estimator, pixels)[0].pred_instances
    [found] = ours.find([prepared])
    return found, expected


def compare(
    found: Sequence[Poses], expected: Sequence[Any], longest: Sequence[int], sigmas: np.ndarray
) -> list[Finding]:
    """Each of our people is one of theirs; each of theirs is one of ours, or a weaker double of one.

    Args:
        longest: side of each picture, pixels. Random weights put joints far outside of it, where float32 is
            coarse: distances there count by how many pictures away they are.
    """
    place = score = 0.0
    missing = 0
    for ours, theirs, side in zip(found, expected, longest, strict=True):
        points = np.asarray(theirs.keypoints, np.float64)[..., :2]
        near, ours_near = _within(points, side), _within(ours.keypoints, side)
        points, scores = points[near], np.asarray(theirs.keypoint_scores)[near]
        keypoints, keypoint_scores = ours.keypoints[ours_near], ours.keypoint_scores[ours_near]
        if not len(keypoints) or not len(points):
            missing += abs(len(keypoints) - len(points))
            continue
        partner, distance = _partners(keypoints, keypoint_scores, points, scores)
        away = np.maximum(1, np.abs(points[partner]).max(axis=(1, 2)) / side)
        place = max(place, float((distance / away).max()))
        score = max(score, float(np.abs(keypoint_scores - scores[partner]).max()))
        areas, our_areas = _area(points), _area(keypoints)
        for other in np.setdiff1d(np.arange(len(points)), partner):
            alike = oks_matrix(points[[other]], areas[[other]], keypoints, our_areas, sigmas)
            missing += int(alike.max() < _SAME)
    return [
        Finding("people", "keypoints", place, _PLACE_LIMIT, "px"),
        Finding("people", "keypoint scores", score, _SCORE_LIMIT, ""),
        Finding("people", "on one side only", float(missing), 0, "people"),
    ]


def _partners(
    keypoints: np.ndarray, scores: np.ndarray, others: np.ndarray, other_scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each of (N, K, 2) the same person among others (M, K, 2), and how far a coordinate is off at most.

    Neighbouring cells of a grid may tell of one place with different scores: of those who are as near as the
    nearest, but for rounding, the one with the most similar scores is the same person.
    """
    flat = keypoints.reshape(len(keypoints), -1)
    near = min(_NEIGHBOURS, len(others))
    found = KDTree(others.reshape(len(others), -1)).query(flat, k=near, p=np.inf)
    # One neighbour comes without an axis of neighbours.
    distance, places = (np.reshape(part, (len(flat), near)) for part in found)
    unlike = np.abs(other_scores[places] - scores[:, None]).max(axis=2)
    unlike[distance > distance[:, :1] + _PLACE_LIMIT] = np.inf
    best = unlike.argmin(axis=1)
    rows = np.arange(len(flat))
    return places[rows, best], distance[rows, best]


def _within(keypoints: np.ndarray, side: int) -> np.ndarray:
    """Which people (N, K, 2) are within ten pictures' lengths: untrained networks put some at infinity."""
    # Not a number is not less.
    return np.asarray((np.abs(keypoints) < 10 * side).all(axis=(1, 2)))


def _area(keypoints: np.ndarray) -> np.ndarray:
    """(N,) area of the extent of keypoints (N, K, 2)."""
    keypoints = np.asarray(keypoints, np.float64)
    return np.asarray((keypoints.max(axis=1) - keypoints.min(axis=1)).prod(axis=1))
