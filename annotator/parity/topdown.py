"""Top-down models against MMPose in three layers: crops, raw outputs, keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

from annotator.models.engines.outputs import tensors
from annotator.models.sources import RANDOM, ModelSource
from annotator.models.topdown import TopDown
from annotator.parity.pictures import Picture
from annotator.parity.random_weights import label
from annotator.parity.reference import Reference, copied
from annotator.parity.verdict import Finding, Verdict
from annotator.pose import crops as crops_room

GREY_LIMIT = 1.0
SHIFT_LIMIT = 0.05
NETWORK_LIMIT = 1e-4
KEYPOINT_LIMIT = 0.02
SCORE_LIMIT = 1e-5
_PERCENTILE = 99.9
# People with made-up outputs, for each crop: enough joints for a percentile to mean something.
_MADE_UP = 4


def check(source: ModelSource, pictures: Sequence[Picture], model: TopDown | None = None) -> Verdict:
    """Compare a top-down model with MMPose's.

    Args:
        pictures: with the people to look at, at least one.
        model: ours; built from `source` when absent.
    """
    ours = model or TopDown(source)
    theirs = Reference(source)
    packed = theirs.packed(pictures)
    crops = torch.stack([one["inputs"] for one in packed]).permute(0, 2, 3, 1).flip(-1).contiguous()
    samples = [one["data_samples"] for one in packed]
    findings = [*_preprocessing(ours, theirs, pictures, crops.numpy(), samples)]
    with torch.inference_mode():
        outputs = ours.engine(crops), ours.engine(crops.flip(2))
    # Tensors of inference mode cannot be written to, as the heads do.
    plain, mirrored = (copied(part) for part in outputs)
    findings.append(_network(theirs, packed, plain, mirrored))
    findings += _decoding(ours, theirs, "network", samples, plain, mirrored)
    made_up = [made_outputs(plain, _MADE_UP, seed) for seed in (0, 1)]
    findings += _decoding(ours, theirs, "made-up", samples * _MADE_UP, *made_up)
    weights = label(source)
    notes = ("random weights: the comparison holds, the keypoints mean nothing",)
    return Verdict(
        source.name, theirs.codec, weights, len(packed), tuple(findings), notes if weights == RANDOM else ()
    )


def _preprocessing(
    ours: TopDown, theirs: Reference, pictures: Sequence[Picture], expected: np.ndarray, samples: list[Any]
) -> list[Finding]:
    images = [picture.pixels for picture in pictures]
    index = np.repeat(np.arange(len(pictures)), [len(picture.boxes) for picture in pictures])
    center, scale, matrices = ours.regions(np.concatenate([picture.boxes for picture in pictures]))
    by_cv2 = crops_room.crop_batch_cv2(images, index, matrices, ours.input_size)
    on_device = crops_room.crop_batch_torch(
        [torch.from_numpy(np.ascontiguousarray(image)) for image in images], index, matrices, ours.input_size
    ).numpy()
    findings = []
    for name, found in (("OpenCV", by_cv2), ("torch", on_device)):
        grey = np.abs(found.astype(np.int16) - expected).mean(axis=(1, 2, 3)).max()
        shift = max(displacement(a, b) for a, b in zip(found, expected, strict=True))
        findings += [
            Finding("preprocessing", f"crops by {name}", float(grey), GREY_LIMIT, "grey levels on average"),
            Finding("preprocessing", f"shift of crops by {name}", shift, SHIFT_LIMIT, "px"),
        ]
    # Where points of the crop lie in the image.
    w, h = ours.input_size
    grid = np.stack(np.meshgrid(np.linspace(0, w, 4), np.linspace(0, h, 4)), axis=-1).reshape(1, -1, 2)
    points = np.repeat(grid, len(center), axis=0)
    back = crops_room.to_image(points, center, scale, ours.input_size)
    distance = np.abs(back - theirs.in_image(samples, points)).max()
    return [*findings, Finding("preprocessing", "way back to the image", float(distance), SHIFT_LIMIT, "px")]


def displacement(a: np.ndarray, b: np.ndarray) -> float:
    """How far two crops (H, W, 3) uint8 lie apart, in pixels: the peak of their phase correlation."""
    if np.array_equal(a, b):
        return 0.0
    grey = [cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float64) for crop in (a, b)]
    # The border outside the image would hold the estimate at zero.
    window = cv2.createHanningWindow(grey[0].shape[::-1], cv2.CV_64F)
    (dx, dy), _ = cv2.phaseCorrelate(grey[0], grey[1], window)
    return float(np.hypot(dx, dy))


def _network(theirs: Reference, packed: list[dict[str, Any]], plain: Any, mirrored: Any) -> Finding:
    worst = 0.0
    for found, mirror in ((plain, False), (mirrored, True)):
        expected = theirs.raw_outputs(packed, mirror)
        pairs = list(zip(tensors(found), tensors(expected), strict=True))
        for a, b in pairs:
            worst = max(worst, relative(a.float(), b))
    return Finding("network", "raw outputs", worst, NETWORK_LIMIT, "of the largest")


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference as a share of the largest value: outputs of 1, of 255 and of 0.001 alike.

    Infinite where a side is not finite, or where all outputs are zero: those prove nothing.
    """
    if found.shape != expected.shape or not (found.isfinite().all() and expected.isfinite().all()):
        return float("inf")
    if not expected.numel():
        return 0.0
    largest = float(expected.abs().max())
    return float((found - expected).abs().max()) / largest if largest else float("inf")


def _decoding(
    ours: TopDown, theirs: Reference, what: str, samples: list[Any], plain: Any, mirrored: Any
) -> list[Finding]:
    findings = []
    for name, back in ((what, None), (f"{what}, flip", mirrored)):
        decoded = ours.decode(copied(plain), None if back is None else copied(back))
        keypoints, scores = (part.numpy() for part in decoded)
        expected, expected_scores = theirs.decoded(samples, plain, back)
        if theirs.kept is not None:
            expected, expected_scores = expected[:, theirs.kept], expected_scores[:, theirs.kept]
        # Joints that were not located have no place; MMPose puts them outside.
        located = expected_scores > 0
        distance = np.linalg.norm(keypoints - expected, axis=-1)[located]
        far = float(np.percentile(distance, _PERCENTILE)) if distance.size else 0.0
        off = np.abs(scores - expected_scores) / np.maximum(1, np.abs(expected_scores))
        findings += [
            Finding("decoding", f"keypoints, {name}", far, KEYPOINT_LIMIT, f"px, {_PERCENTILE}% of joints"),
            Finding("decoding", f"scores, {name}", float(off.max()), SCORE_LIMIT, ""),
        ]
    return findings


def made_outputs(like: Any, times: int, seed: int) -> Any:
    """Raw outputs of the same form for `times` as many crops, with peaks anywhere, borders and beyond too.

    Args:
        like: raw outputs: heatmaps (N, C, H, W), distributions (N, K, W) or coordinates (N, K, 2 or 4).
    """
    if isinstance(like, list | tuple):
        return type(like)(made_outputs(part, times, seed + 10 + i) for i, part in enumerate(like))
    generator = torch.Generator().manual_seed(seed)
    n, channels, *size = like.shape
    n *= times
    if len(size) == 1 and size[0] in (2, 4):
        coordinates = torch.rand(n, channels, size[0], generator=generator) * 1.2 - 0.1
        coordinates[..., 2:] = coordinates[..., 2:] * 6 - 3
        return coordinates
    total = torch.zeros(())
    for axis, length in enumerate(size):
        shape = [1] * len(size)
        shape[axis] = length
        center = torch.rand(n, channels, *[1] * len(size), generator=generator) * (length + 6) - 3
        width = 2.0 if len(size) == 2 else 6.0
        total = total + (torch.arange(length).view(shape) - center) ** 2 / (2 * width**2)
    height = torch.rand(n, channels, *[1] * len(size), generator=generator) + 0.05
    noise = torch.randn(n, channels, *size, generator=generator) * 0.002
    return (height * torch.exp(-total) + noise).float()
