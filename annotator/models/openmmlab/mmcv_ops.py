"""mmcv's compiled operations, carried out by torchvision: what detectors and pose models need at inference.

Each function has the signature by which mmcv's Python side calls its extension module. Where that convention
passes an `output` tensor, the result is written into it. Gradients are not provided.
"""

from __future__ import annotations

from typing import Any

import torch
import torchvision.ops
from torch import Tensor

from annotator.errors import UserError


class UnsupportedOperationError(UserError):
    """A model asks for a compiled mmcv operation that has no counterpart in torchvision."""

    def __init__(self, operation: str) -> None:
        super().__init__(
            f"this model needs mmcv's compiled operation '{operation}', which torchvision does not offer: "
            "install an mmcv built with its extension (where present, it is used), or take another model"
        )
        self.operation = operation

    def __reduce__(self):
        return (type(self), (self.operation,))


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4) floating, [x1, y1, x2, y2].
        scores: (N,) floating.
        iou_threshold: a box is dropped when its IoU with a better one is greater.
        offset: 0, or 1 for the convention in which a box from x1 to x2 is x2 - x1 + 1 wide.

    Returns:
        (M,) int64 indices of the kept boxes, best score first.
    """
    if offset:
        # Moving the far corner by one gives both the widths and the overlaps of that convention.
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)
    if boxes.dtype in (torch.float16, torch.bfloat16):
        boxes, scores = boxes.float(), scores.float()
    return torchvision.ops.nms(boxes, scores.to(boxes.dtype), iou_threshold)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Average RoIAlign into `output` (R, C, aligned_height, aligned_width).

    Args:
        input: (N, C, H, W).
        rois: (R, 5), [batch index, x1, y1, x2, y2] in input pixels.
        pool_mode: 1 for average; 0 (maximum, with `argmax_y` and `argmax_x`) is not supported.
    """
    if pool_mode != 1:
        raise UnsupportedOperationError("roi_align_forward (max pooling)")
    result = torchvision.ops.roi_align(
        input,
        rois.to(input.dtype),
        (aligned_height, aligned_width),
        spatial_scale=spatial_scale,
        sampling_ratio=sampling_ratio,
        aligned=aligned,
    )
    output.copy_(result)


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,  # noqa: N803
    kH: int,  # noqa: N803
    dW: int,  # noqa: N803
    dH: int,  # noqa: N803
    padW: int,  # noqa: N803
    padH: int,  # noqa: N803
    dilationW: int,  # noqa: N803
    dilationH: int,  # noqa: N803
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Deformable convolution (Dai et al. 2017) into `output` (N, C', H', W').

    Args:
        input: (N, C, H, W).
        weight: (C', C / group, kH, kW).
        offset: (N, 2 * deformable_group * kH * kW, H', W'), [dy, dx] of each tap in input pixels.
        columns, ones, im2col_step: buffers and tiling of mmcv's own implementation; not needed here.
    """
    _check_groups(input, weight, offset, group, deformable_group)
    result = torchvision.ops.deform_conv2d(
        input,
        offset.to(input.dtype),
        weight.to(input.dtype),
        stride=(dH, dW),
        padding=(padH, padW),
        dilation=(dilationH, dilationW),
    )
    output.copy_(result)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Modulated deformable convolution (Zhu et al. 2019) into `output` (N, C', H', W').

    As `deform_conv_forward`, each tap weighted by `mask` (N, deformable_group * kernel_h * kernel_w, H', W').
    """
    _check_groups(input, weight, offset, group, deformable_group)
    result = torchvision.ops.deform_conv2d(
        input,
        offset.to(input.dtype),
        weight.to(input.dtype),
        bias=bias.to(input.dtype) if with_bias else None,
        stride=(stride_h, stride_w),
        padding=(pad_h, pad_w),
        dilation=(dilation_h, dilation_w),
        mask=mask.to(input.dtype),
    )
    output.copy_(result)


OPERATIONS: dict[str, Any] = {
    operation.__name__: operation
    for operation in (nms, roi_align_forward, deform_conv_forward, modulated_deform_conv_forward)
}


def _check_groups(input: Tensor, weight: Tensor, offset: Tensor, group: int, deformable_group: int) -> None:
    # torchvision infers both group counts from shapes; a mismatch would silently compute something else.
    taps = weight.shape[2] * weight.shape[3]
    if input.shape[1] != group * weight.shape[1] or offset.shape[1] != 2 * deformable_group * taps:
        raise ValueError(
            f"deform_conv: input {tuple(input.shape)}, weight {tuple(weight.shape)} and offset "
            f"{tuple(offset.shape)} do not fit group={group}, deformable_group={deformable_group}"
        )
