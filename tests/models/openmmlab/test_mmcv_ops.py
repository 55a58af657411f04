"""torchvision's operations under mmcv's calling convention, against plain arithmetic."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
import torchvision

from annotator.models.openmmlab import mmcv_ops
from annotator.models.openmmlab.mmcv_ops import UnsupportedOperationError


def reference_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float, offset: int) -> list[int]:
    order, kept = list(np.argsort(-scores)), []
    while order:
        best = order.pop(0)
        kept.append(int(best))
        rest = []
        for other in order:
            size = [
                min(boxes[best][2 + i], boxes[other][2 + i]) - max(boxes[best][i], boxes[other][i]) + offset
                for i in (0, 1)
            ]
            overlap = max(size[0], 0) * max(size[1], 0)
            area = [np.prod(boxes[b][2:] - boxes[b][:2] + offset) for b in (best, other)]
            if overlap / (area[0] + area[1] - overlap) <= threshold:
                rest.append(other)
        order = rest
    return kept


@pytest.mark.parametrize("offset", [0, 1])
def test_nms_equals_greedy_suppression(offset: int) -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 30, (60, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(2, 15, (60, 2))], axis=1)
    scores = rng.permutation(60) / 60
    kept = mmcv_ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), 0.3, offset)
    assert kept.tolist() == reference_nms(boxes, scores, 0.3, offset)


def test_the_offset_of_nms_decides_a_close_case() -> None:
    # IoU is 4/12 = 0.333 for widths x2 - x1, and 9/19 = 0.474 for widths x2 - x1 + 1.
    boxes = torch.tensor([[0.0, 0, 4, 2], [2.0, 0, 6, 2]])
    scores = torch.tensor([0.9, 0.8])
    assert mmcv_ops.nms(boxes, scores, 0.4, 0).tolist() == [0, 1]
    assert mmcv_ops.nms(boxes, scores, 0.4, 1).tolist() == [0]


def test_roi_align_averages_bilinear_samples() -> None:
    # A plane is reproduced exactly by bilinear sampling: each bin's average is the plane at the bin's centre.
    ys, xs = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    plane = (2 * xs + 3 * ys + 1)[None, None]
    rois = torch.tensor([[0.0, 4, 6, 16, 12]])
    output = torch.zeros(1, 1, 2, 3)
    empty = torch.zeros(0)
    mmcv_ops.roi_align_forward(plane, rois, output, empty, empty, 2, 3, 1.0, 2, 1, True)
    centre_x = torch.tensor([4 + 2.0, 4 + 6.0, 4 + 10.0]) - 0.5
    centre_y = torch.tensor([6 + 1.5, 6 + 4.5]) - 0.5
    torch.testing.assert_close(output[0, 0], 2 * centre_x[None] + 3 * centre_y[:, None] + 1)


def test_roi_align_by_maximum_is_refused() -> None:
    empty = torch.zeros(0)
    with pytest.raises(UnsupportedOperationError, match="roi_align_forward"):
        mmcv_ops.roi_align_forward(empty, empty, empty, empty, empty, 2, 2, 1.0, 2, 0, True)


def shift_offset(dy: int, dx: int, taps: int, height: int, width: int) -> torch.Tensor:
    return torch.tensor([float(dy), float(dx)]).repeat(taps)[None, :, None, None].expand(1, -1, height, width)


def test_deform_conv_with_constant_offsets_is_a_convolution_of_the_shifted_picture() -> None:
    torch.manual_seed(0)
    picture, weight = torch.randn(1, 4, 12, 14), torch.randn(6, 2, 3, 3)
    output = torch.zeros(1, 6, 12, 14)
    buffer = torch.zeros(0)
    mmcv_ops.deform_conv_forward(
        picture, weight, shift_offset(2, -1, 9, 12, 14).contiguous(), output, buffer, buffer,
        kW=3, kH=3, dW=1, dH=1, padW=1, padH=1, dilationW=1, dilationH=1,
        group=2, deformable_group=1, im2col_step=1,
    )  # fmt: skip
    shifted = torch.roll(picture, (-2, 1), dims=(2, 3))
    expected = torch.nn.functional.conv2d(shifted, weight, padding=1, groups=2)
    inner = (slice(None), slice(None), slice(3, 9), slice(3, 11))
    torch.testing.assert_close(output[inner], expected[inner], rtol=1e-4, atol=1e-5)


def test_deform_conv_equals_torchvision_called_directly() -> None:
    torch.manual_seed(1)
    picture, weight = torch.randn(2, 4, 9, 11), torch.randn(5, 4, 3, 3)
    offset = torch.randn(2, 2 * 2 * 9, 5, 6)
    output, buffer = torch.zeros(2, 5, 5, 6), torch.zeros(0)
    mmcv_ops.deform_conv_forward(
        picture, weight, offset, output, buffer, buffer,
        kW=3, kH=3, dW=2, dH=2, padW=1, padH=1, dilationW=1, dilationH=1,
        group=1, deformable_group=2, im2col_step=2,
    )  # fmt: skip
    expected = torchvision.ops.deform_conv2d(picture, offset, weight, stride=2, padding=1)
    torch.testing.assert_close(output, expected)
    with pytest.raises(ValueError, match="deformable_group=1"):
        mmcv_ops.deform_conv_forward(
            picture, weight, offset, output, buffer, buffer,
            kW=3, kH=3, dW=2, dH=2, padW=1, padH=1, dilationW=1, dilationH=1,
            group=1, deformable_group=1, im2col_step=2,
        )  # fmt: skip


def test_modulated_deform_conv_weighs_each_tap_and_adds_the_bias() -> None:
    torch.manual_seed(2)
    picture, weight, bias = torch.randn(1, 3, 8, 8), torch.randn(2, 3, 3, 3), torch.tensor([1.0, -2.0])
    output, buffer = torch.zeros(1, 2, 8, 8), torch.zeros(0)
    mmcv_ops.modulated_deform_conv_forward(
        picture, weight, bias, buffer, torch.zeros(1, 18, 8, 8), torch.full((1, 9, 8, 8), 0.5),
        output, buffer,
        kernel_h=3, kernel_w=3, stride_h=1, stride_w=1, pad_h=1, pad_w=1, dilation_h=1, dilation_w=1,
        group=1, deformable_group=1, with_bias=True,
    )  # fmt: skip
    plain = torch.nn.functional.conv2d(picture, weight, padding=1)
    torch.testing.assert_close(output, 0.5 * plain + bias[None, :, None, None], rtol=1e-4, atol=1e-5)


def test_the_error_crosses_process_boundaries() -> None:
    error = pickle.loads(pickle.dumps(UnsupportedOperationError("softnms")))
    assert error.operation == "softnms" and "'softnms'" in str(error)
