"""OpenMMLab imports without its compiled extension and without xtcocotools; real ones come first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from annotator.models.openmmlab import mmlab
from annotator.models.openmmlab.mmcv_ops import UnsupportedOperationError


def test_mmcv_calls_torchvision_and_names_what_it_lacks() -> None:
    mmlab.prepare()
    mmlab.prepare()
    import mmcv.ops

    assert not mmlab.compiled_mmcv()
    boxes = torch.tensor([[0.0, 0, 10, 10], [1.0, 1, 10, 10], [20.0, 20, 30, 30]])
    _, kept = mmcv.ops.nms(boxes, torch.tensor([0.5, 0.9, 0.3]), 0.5)
    assert kept.tolist() == [1, 2]
    with pytest.raises(UnsupportedOperationError, match="'softnms'"):
        mmcv.ops.soft_nms(boxes, torch.tensor([0.5, 0.9, 0.3]))


@pytest.mark.parametrize(
    "module",
    [
        "mmpose.apis", "mmpose.models", "mmpose.datasets", "mmpose.evaluation", "mmpose.codecs",
        "mmpose.engine", "mmpose.visualization", "mmdet.models", "mmdet.datasets", "mmdet.apis",
        "mmpretrain.models",
        "mmcv.ops",
    ],
)  # fmt: skip
def test_everything_imports(module: str) -> None:
    import importlib

    mmlab.prepare()
    importlib.import_module(module)


def test_importing_prints_nothing() -> None:
    program = (
        "from annotator.models.openmmlab import mmlab; mmlab.prepare(); "
        "import mmdet.datasets, mmpose.models; from mmengine.logging import print_log; "
        "print_log('aside'); print_log('aside', logger='current')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "aside" not in done.stderr


def test_a_compiled_mmcv_is_preferred(tmp_path: Path) -> None:
    """A module `mmcv._ext` that can be imported stays in place; one that fails to load is replaced."""
    for name, body, expected in (
        ("works", "nms = 'compiled'", "compiled True"),
        ("broken", "raise ImportError('undefined symbol')", "function False"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "_ext.py").write_text(body)
        program = (
            f"import mmcv; mmcv.__path__.append({str(folder)!r}); "
            "from annotator.models.openmmlab import mmlab; mmlab.prepare(); "
            "import mmcv._ext; nms = mmcv._ext.nms; "
            "print(nms if isinstance(nms, str) else type(nms).__name__, mmlab.compiled_mmcv())"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected


def test_a_transformers_installed_beside_it_is_no_obstacle(tmp_path: Path) -> None:
    """mmpretrain would import names from it that its later versions lack, and mmdet.models with it."""
    (tmp_path / "transformers").mkdir()
    (tmp_path / "transformers" / "__init__.py").write_text("PreTrainedModel = None\n")
    about = tmp_path / "transformers-5.0.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: transformers\nVersion: 5.0.0\n")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "from annotator.models.openmmlab import mmlab; mmlab.prepare(); "
        "import mmdet.models, mmpretrain.models; from mmpretrain.registry import MODELS; "
        "print(MODELS.get('VisionTransformer').__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "VisionTransformer\n"), done.stderr


def coco_pair(area: float):
    from xtcocotools.coco import COCO

    keypoints = np.array([[10.0, 20, 2], [40, 60, 2], [70, 20, 2]])
    truth = COCO()
    truth.dataset = {
        "images": [{"id": 1, "width": 100, "height": 100}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 80, 80], "area": area, "iscrowd": 0,
             "num_keypoints": 3, "keypoints": keypoints.ravel().tolist()}
        ],
    }  # fmt: skip
    truth.createIndex()
    keypoints[:, 0] += 4
    result = {"image_id": 1, "category_id": 1, "score": 1.0, "keypoints": keypoints.ravel().tolist()}
    return truth, truth.loadRes([result])


def oks(area: float, **options: object) -> float:
    from xtcocotools.cocoeval import COCOeval

    evaluation = COCOeval(*coco_pair(area), "keypoints", **options)
    evaluation.evaluate()
    return float(evaluation.ious[(1, 1)][0, 0])


def test_cocoeval_accepts_a_skeletons_own_sigmas_and_box_areas() -> None:
    mmlab.prepare()
    sigmas = np.array([0.05, 0.1, 0.2])

    def expected(area: float) -> float:
        # OKS: exp(-d^2 / (2 area (2 sigma)^2)), averaged over the joints; every joint is 4 px off.
        return float(np.mean(np.exp(-(4.0**2) / (2 * area * (2 * sigmas) ** 2))))

    assert oks(3000.0, sigmas=sigmas) == pytest.approx(expected(3000.0))
    assert oks(3000.0, sigmas=sigmas, use_area=False) == pytest.approx(expected(0.53 * 80 * 80))


def test_cocoeval_refuses_parts_of_the_body() -> None:
    mmlab.prepare()
    from xtcocotools.cocoeval import COCOeval

    with pytest.raises(NotImplementedError, match="keypoints_foot"):
        COCOeval(iouType="keypoints_foot")
