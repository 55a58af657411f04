"""Where a whole image lies on the input, against MMPose's own transform."""

from __future__ import annotations

import numpy as np
import pytest

from annotator.models.openmmlab import mmlab
from annotator.pose.canvas import Canvas
from annotator.pose.crops import crop_batch_cv2

SIZES = ((640, 480), (427, 640), (500, 333), (97, 641), (612, 612), (64, 48))


@pytest.mark.parametrize("use_udp", [False, True])
@pytest.mark.parametrize(("mode", "factor"), [("fit", 32), ("expand", 32), ("expand", 64)])
def test_equals_bottomup_resize(mode, factor, use_udp):
    mmlab.prepare()
    from mmpose.datasets.transforms import BottomupResize

    pad = (114, 20, 3)
    theirs = BottomupResize((256, 192), size_factor=factor, resize_mode=mode, pad_val=pad, use_udp=use_udp)
    canvas = Canvas((256, 192), factor, mode, use_udp)
    rng = np.random.default_rng(0)
    for width, height in SIZES:
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        result = theirs({"img": image, "ori_shape": (height, width), "img_shape": (height, width)})
        placement = canvas.place(width, height)
        assert placement.size == result["input_size"]
        np.testing.assert_array_equal(placement.center, result["input_center"])
        np.testing.assert_array_equal(placement.scale, result["input_scale"])
        ours = crop_batch_cv2([image], np.zeros(1, int), placement.matrix[None], placement.size, border=pad)[
            0
        ]
        np.testing.assert_array_equal(ours, result["img"])


def test_points_come_back():
    """Without UDP, to_image undoes the map."""
    placement = Canvas((256, 192), 32, "fit").place(500, 333)
    points = np.array([[0.0, 0.0], [499.0, 332.0], [120.5, 7.25]])
    on_input = points @ placement.matrix[:, :2].T + placement.matrix[:, 2]
    np.testing.assert_allclose(placement.to_image(on_input), points, atol=1e-3)


@pytest.mark.parametrize("arguments", [((250, 192), 32, "fit"), ((256, 192), 32, "stretch")])
def test_impossible_geometry(arguments):
    with pytest.raises(ValueError):
        Canvas(*arguments)
