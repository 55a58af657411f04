"""pycocotools under the names of xtcocotools, the fork that MMPose's dataset and metric classes import.

Only training the demo models evaluates through it; nothing in a run does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval as _COCOeval

# COCO's segment area is on average about this share of the box area; MMPose uses the same figure.
AREA_OF_BOX = 0.53


class COCOeval(_COCOeval):
    """pycocotools' evaluation with xtcocotools' two extra arguments.

    Args:
        cocoGt: ground truth.
        cocoDt: results, from `cocoGt.loadRes`.
        iouType: "keypoints", "bbox" or "segm"; xtcocotools' kinds for parts of the body are not offered.
        sigmas: (K,) OKS constants; None for COCO's 17.
        use_area: False to take 0.53 of the box area as object scale instead of the annotated area.
    """

    def __init__(
        self,
        cocoGt: COCO | None = None,  # noqa: N803
        cocoDt: COCO | None = None,  # noqa: N803
        iouType: str = "keypoints",  # noqa: N803
        sigmas: Sequence[float] | np.ndarray | None = None,
        use_area: bool = True,
    ) -> None:
        if iouType not in ("keypoints", "bbox", "segm"):
            raise NotImplementedError(f"iouType {iouType!r} exists in xtcocotools only")
        super().__init__(cocoGt, cocoDt, iouType)
        self.use_area = use_area
        if sigmas is not None:
            self.params.kpt_oks_sigmas = np.asarray(sigmas, np.float64)

    def _prepare(self) -> None:
        super()._prepare()  # pyright: ignore[reportAttributeAccessIssue]
        if not self.use_area:
            for annotations in self._gts.values():  # pyright: ignore[reportAttributeAccessIssue]
                for annotation in annotations:
                    _, _, width, height = annotation["bbox"]
                    annotation["area"] = AREA_OF_BOX * width * height
