"""From people in images to network inputs and back: warp matrices, batched crops, and the inverse mapping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    import torch

# cv2.warpAffine: coordinates carry 10 fractional bits while they are added up and 5 when they are used.
_ADD_BITS = 10
_USE_BITS = 5
# cv2.warpAffine refuses sources with a side of 32767 or more (16-bit coordinates).
_CV2_MAX_SIDE = 32766
_CROPS_AT_ONCE = 64
# What remains of a rotation by 0 when OpenCV fits a map to points.
_ROUNDING = 1e-9


def warp_matrices(center: np.ndarray, scale: np.ndarray, size: tuple[int, int], use_udp: bool) -> np.ndarray:
    """Affine maps from image pixels to input pixels, as MMPose's `get_(udp_)warp_matrix` for no rotation.

    Args:
        center, scale: (N, 2), pixels of the image, from `boxes.bbox_to_center_scale`.
        size: (width, height) of the network's input.
        use_udp: unbiased data processing (Huang et al. 2020): aligns pixel centres instead of pixel edges.

    Returns:
        (N, 2, 3): float32 with UDP, else float64, as MMPose has them. All zero for a region without extent.
    """
    center = np.asarray(center).reshape(-1, 2)
    scale = np.asarray(scale).reshape(-1, 2)
    w, h = size
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if use_udp:
            matrices = np.zeros((len(center), 2, 3), np.float32)
            for axis, length in enumerate((w, h)):
                factor = (length - 1) / scale[:, axis]
                matrices[:, axis, axis] = factor
                # Written as there, so that float32 input rounds alike.
                matrices[:, axis, 2] = factor * (-0.5 * (center[:, axis] * 2) + 0.5 * scale[:, axis])
        else:
            matrices = _fitted(center, scale, size)
    matrices[~np.isfinite(matrices).all(axis=(1, 2))] = 0
    return matrices


def _fitted(center: np.ndarray, scale: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """MMPose fits the map to three float32 points: the region's centre, the middle of its left side, and the
    latter moved down by half the width; only the width decides. OpenCV solves the fit there and here, because
    its rounding in the last bit now and then decides a grey level.
    """
    w, h = size
    middle = center.astype(np.float32)
    left = middle.copy()
    left[:, 0] = center[:, 0].astype(np.float64) - 0.5 * scale[:, 0]
    below = left.copy()
    below[:, 1] += middle[:, 0] - left[:, 0]
    source = np.stack([middle, left, below], axis=1)
    target = np.array([[w * 0.5, h * 0.5], [0, h * 0.5], [0, h * 0.5 + w * 0.5]], np.float32)
    matrices = np.zeros((len(center), 2, 3), np.float64)
    for i in np.flatnonzero(np.isfinite(source).all(axis=(1, 2)) & (left[:, 1] != below[:, 1])):
        matrices[i] = cv2.getAffineTransform(source[i], target)
    return matrices


def to_image(
    keypoints: np.ndarray, center: np.ndarray, scale: np.ndarray, input_size: tuple[int, int]
) -> np.ndarray:
    """Keypoints of crops (N, K, 2), input pixels -> (N, K, 2) float32, pixels of the image.

    As MMPose's `TopdownPoseEstimator.add_pred_to_datasample`, which does not tell UDP crops from others.
    """
    keypoints = np.asarray(keypoints, np.float64)
    center = np.asarray(center, np.float64)[:, None]
    scale = np.asarray(scale, np.float64)[:, None]
    return (keypoints / np.asarray(input_size) * scale + center - 0.5 * scale).astype(np.float32)


def crop_batch_cv2(
    images: Sequence[np.ndarray],
    image_index: np.ndarray,
    matrices: np.ndarray,
    size: tuple[int, int],
    border: tuple[int, int, int] = (0, 0, 0),
) -> np.ndarray:
    """Crops of many people of many images in one batch, bit-equal to MMPose's `TopdownAffine`.

    Args:
        images: (H, W, 3) uint8 arrays.
        image_index: (N,) the image of each person.
        matrices: (N, 2, 3) from `warp_matrices`.
        size: (width, height) of the crops.
        border: colour outside the image, in its channel order.

    Returns:
        (N, height, width, 3) uint8, channel order of the images.
    """
    w, h = size
    crops = np.empty((len(matrices), h, w, 3), np.uint8)
    for crop, index, matrix in zip(crops, image_index, matrices, strict=True):
        image = images[index]
        if max(image.shape[:2]) > _CV2_MAX_SIDE:
            image, matrix = _narrow(image, matrix, size)
        cv2.warpAffine(image, matrix, (w, h), dst=crop, flags=cv2.INTER_LINEAR, borderValue=border)
    return crops


def _narrow(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The part of a huge image that the crop looks at, thinned out where even that is too long for OpenCV."""
    matrix = matrix.astype(np.float64)
    windows = []
    for axis, length in ((0, image.shape[1]), (1, image.shape[0])):
        factor, shift = matrix[axis, axis], matrix[axis, 2]
        ends = [(-shift) / factor, (size[axis] - shift) / factor] if factor else [0.0, 0.0]
        first = min(max(math.floor(min(ends)) - 2, 0), length - 1)
        last = min(max(math.ceil(max(ends)) + 3, first + 1), length)
        step = -(-(last - first) // _CV2_MAX_SIDE)
        windows.append(slice(first, last, step))
        matrix[axis, 2] += factor * first
        matrix[axis, axis] *= step
    return np.ascontiguousarray(image[windows[1], windows[0]]), matrix


def crop_batch_torch(
    images: Sequence[torch.Tensor],
    image_index: np.ndarray,
    matrices: np.ndarray,
    size: tuple[int, int],
) -> torch.Tensor:
    """`crop_batch_cv2` on the images' device, in OpenCV's own fixed-point arithmetic.

    Args:
        images: (H, W, 3) uint8 tensors, all on one device.
        image_index: (N,) numpy, the image of each person.
        matrices: (N, 2, 3) numpy, from `warp_matrices` (no rotation or shear).
        size: (width, height) of the crops.

    Returns:
        (N, height, width, 3) uint8 on that device.
    """
    import torch

    if np.abs(matrices[:, [0, 1], [1, 0]]).max(initial=0.0) > _ROUNDING:
        raise ValueError("crop_batch_torch takes maps without rotation and shear only")
    w, h = size
    device = images[0].device if len(images) else torch.device("cpu")
    xs = torch.from_numpy(_source_coordinates(matrices, 0, w)).to(device)
    ys = torch.from_numpy(_source_coordinates(matrices, 1, h)).to(device)
    out = torch.empty((len(matrices), h, w, 3), dtype=torch.uint8, device=device)
    image_index = np.asarray(image_index)
    for index in np.unique(image_index):
        people = np.flatnonzero(image_index == index)
        for start in range(0, len(people), _CROPS_AT_ONCE):
            chosen = torch.from_numpy(people[start : start + _CROPS_AT_ONCE]).to(device)
            out[chosen] = _bilinear(images[index], xs[chosen], ys[chosen])
    return out


def _source_coordinates(matrices: np.ndarray, axis: int, length: int) -> np.ndarray:
    """Where output pixels 0..length-1 lie in the image along an axis: (N, length) int64, in 1/32 pixels."""
    m = matrices.astype(np.float64)
    determinant = m[:, 0, 0] * m[:, 1, 1]
    with np.errstate(divide="ignore"):
        reciprocal = np.where(determinant != 0, 1 / determinant, 0.0)
    inverse = m[:, 1 - axis, 1 - axis] * reciprocal
    shift = -inverse * m[:, axis, 2]
    one = 1 << _ADD_BITS
    half = 1 << (_ADD_BITS - _USE_BITS - 1)
    along = inverse[:, None] * np.arange(length)
    # OpenCV adds up x * scale + shift after rounding both, y * scale + shift before.
    parts = (along, shift[:, None]) if axis == 0 else (along + shift[:, None],)
    # It saturates at 32 bits; that far outside every image it makes no difference where.
    limit = 2.0**31 - 1
    total = sum(np.rint(np.clip(part * one, -limit, limit)).astype(np.int64) for part in parts) + half
    return np.asarray(total) >> (_ADD_BITS - _USE_BITS)


def _bilinear(image: torch.Tensor, xs: torch.Tensor, ys: torch.Tensor) -> torch.Tensor:
    """Sample (H, W, 3) uint8 at the grid of xs (n, w) and ys (n, h), in 1/32 pixels: (n, h, w, 3) uint8."""
    import torch

    height, width = image.shape[:2]
    pixels = image.reshape(-1, 3)
    one = 1 << _USE_BITS
    total = None
    for dy in (0, 1):
        y = (ys >> _USE_BITS) + dy
        wy = (ys & (one - 1)) if dy else one - (ys & (one - 1))
        wy = torch.where((y >= 0) & (y < height), wy, 0)
        for dx in (0, 1):
            x = (xs >> _USE_BITS) + dx
            wx = (xs & (one - 1)) if dx else one - (xs & (one - 1))
            wx = torch.where((x >= 0) & (x < width), wx, 0)
            at = y.clamp(0, height - 1)[:, :, None] * width + x.clamp(0, width - 1)[:, None, :]
            weight = (wy[:, :, None] * wx[:, None, :]).to(torch.int32)
            part = pixels[at].to(torch.int32) * weight[..., None]
            total = part if total is None else total.add_(part)
    assert total is not None
    return ((total + (1 << (2 * _USE_BITS - 1))) >> (2 * _USE_BITS)).to(torch.uint8)
