"""The person detector: sizes, channels, classes, thresholds, and batches that change nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from annotator.errors import ItemError, UserError
from annotator.models.detector import Detector
from annotator.models.passes import Passes
from annotator.models.sources import resolve_detector


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(resolve_detector("rtmdet-nano", "random"), score_threshold=0.0)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def test_the_input_is_what_mmdetection_would_make_of_the_file(detector: Detector, tmp_path: Path) -> None:
    import cv2

    from annotator.models.openmmlab.build import default_scope
    from annotator.models.openmmlab.configs import load_model_config, test_pipeline

    image = picture(123, 77)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    source = resolve_detector("rtmdet-nano", "random")
    with default_scope("mmdet"):
        from mmcv.transforms import Compose

        pipeline = Compose(test_pipeline(load_model_config(source.config_path, "detector")))
        expected = pipeline({"img_path": str(tmp_path / "a.png"), "img_id": 0})
    assert expected is not None
    prepared = detector.prepare(image)
    assert torch.equal(prepared.pixels, expected["inputs"]) and (prepared.width, prepared.height) == (77, 123)
    for key in ("ori_shape", "img_shape", "scale_factor"):
        assert prepared.sample.metainfo[key] == expected["data_samples"].metainfo[key]


def test_one_by_one_together_and_in_threads_are_the_same(detector: Detector) -> None:
    pictures = [picture(120, 200), picture(200, 120), picture(64, 64), picture(1, 1)]
    with ThreadPoolExecutor(4) as pool:
        prepared = list(pool.map(detector.prepare, pictures * 3))
    together = detector.detect(prepared)
    for image, found in zip(pictures * 3, together, strict=True):
        [alone] = detector.detect([detector.prepare(image)])
        assert len(alone) == len(found)
        assert np.allclose(alone.bboxes, found.bboxes, atol=1e-2)
        assert found.bboxes.dtype == np.float64 and found.scores.dtype == np.float32
    assert detector.detect([]) == []


def with_predictions(detector: Detector, monkeypatch: pytest.MonkeyPatch, predictions: Callable) -> None:
    """Replace what the head predicts; everything around it stays."""
    from mmengine.structures import InstanceData

    def predict(*_: object, **__: object) -> list[InstanceData]:
        boxes, scores, labels = (torch.tensor(part) for part in predictions())
        return [InstanceData(bboxes=boxes.reshape(-1, 4), scores=scores, labels=labels)]

    monkeypatch.setattr(detector._network.bbox_head, "predict", predict)


def test_people_only_clipped_sorted_and_limited(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [
        [-5.0, 2, 30, 40],
        [1, 1, 500, 500],
        [3, 3, 9, 9],
        [2, 2, 8, 8],
        [300, 5, 310, 20],
        [5, 5, 10, 10],
    ]
    with_predictions(
        detector, monkeypatch, lambda: (boxes, [0.5, 0.9, 0.99, 0.05, 0.8, 0.6], [0, 0, 1, 0, 0, 0])
    )
    monkeypatch.setattr(detector, "_score_threshold", 0.1)
    [found] = detector.detect([detector.prepare(picture(60, 100))])
    assert found.bboxes.tolist() == [[1, 1, 100, 60], [5, 5, 10, 10], [0, 2, 30, 40]]
    assert found.scores.tolist() == pytest.approx([0.9, 0.6, 0.5])
    monkeypatch.setattr(detector, "_max_people", 1)
    assert detector.detect([detector.prepare(picture(60, 100))])[0].scores.tolist() == pytest.approx([0.9])


def test_no_people_is_an_empty_result(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    with_predictions(detector, monkeypatch, lambda: (torch.zeros(0, 4).tolist(), [], []))
    [found] = detector.detect([detector.prepare(picture(60, 100))])
    assert len(found) == 0 and found.bboxes.shape == (0, 4)


def test_values_that_are_not_finite_are_an_error_and_not_an_empty_image(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract = detector.engine._extract
    monkeypatch.setattr(
        detector.engine, "_extract", lambda batch: tuple(f * torch.nan for f in extract(batch))
    )
    with pytest.raises(ItemError, match="non_finite"):
        detector.detect([detector.prepare(picture(60, 100))])


def test_the_device_running_out_of_memory_halves_the_batch_for_good(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = [detector.prepare(picture(60 + extra, 100)) for extra in range(5)]
    expected = detector.detect(inputs)
    whole, sizes = detector._detect, []

    def small(part):
        sizes.append(len(part))
        if len(part) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return whole(part)

    monkeypatch.setattr(detector, "_detect", small)
    monkeypatch.setattr(detector, "_passes", Passes())
    for _ in range(2):
        for ours, theirs in zip(detector.detect(inputs), expected, strict=True):
            assert np.allclose(ours.bboxes, theirs.bboxes, atol=1e-3)
    assert sizes == [5, 2, 2, 1, 2, 2, 1]


@pytest.mark.parametrize(
    ("classes", "count", "label"),
    [(("cat", "person", "dog"), 3, 1), (("cat", "dog"), 2, None), (("cat", "person"), 3, None)],
)
def test_the_person_class_is_found_by_name(
    tmp_path: Path, classes: tuple[str, ...], count: int, label: int | None
) -> None:
    from annotator.models.detector import _person_label
    from annotator.models.openmmlab.configs import load_model_config

    (tmp_path / "d.py").write_text(
        "default_scope = 'mmdet'\n"
        f"model = dict(type='RTMDet', bbox_head=dict(num_classes={count}))\n"
        f"test_dataloader = dict(dataset=dict(type='CocoDataset', metainfo=dict(classes={classes})))\n"
    )
    config = load_model_config(tmp_path / "d.py", "detector")
    if label is None:
        with pytest.raises(UserError, match=r"none of them a person|names the 3 classes"):
            _person_label(config, {}, "d")
    else:
        assert _person_label(config, {}, "d") == label


def test_coco_detectors_know_people_as_their_first_class() -> None:
    from annotator.models.detector import _person_label
    from annotator.models.openmmlab.configs import load_model_config

    source = resolve_detector("faster-rcnn", "random")
    assert _person_label(load_model_config(source.config_path, "detector"), {}, "faster-rcnn") == 0


def test_a_precision_that_cannot_be_used_is_an_error() -> None:
    with pytest.raises(UserError, match="int4"):
        Detector(resolve_detector("rtmdet-nano", "random"), precision="int4")


def test_the_engines_compute_the_same(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANNOTATOR_WEIGHTS_DIR", str(tmp_path))
    other = Detector(resolve_detector("rtmdet-nano", "random"), score_threshold=0.0, engine="onnx")
    assert (other.engine.name, other.engine.precision, detector.engine.name) == ("onnx", "fp32", "torch")
    for shape in ((2, 3, 320, 320), (1, 3, 64, 96)):
        batch = torch.randn(shape)
        with torch.inference_mode():
            expected = detector._network.bbox_head(detector._network.extract_feat(batch))
            found = other._network.bbox_head(other._network.extract_feat(batch))
        for ours, theirs in zip(found, expected, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                assert a.shape == b.shape and float((a - b).abs().max()) < 1e-4 * float(b.abs().max())
    assert len(other.detect([other.prepare(picture(60, 100)), other.prepare(picture(64, 64))])) == 2


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("faster-rcnn", {}, "no one-stage detector"),
        ("rtmdet-nano", {"precision": "bf16"}, "fp32, not in 'bf16'"),
    ],
)
def test_an_engine_that_cannot_be_used_is_an_error(name: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Detector(resolve_detector(name, "random"), engine="onnx", **options)
