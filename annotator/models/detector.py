"""The person detector: an MMDetection network on whole images, people kept, everything else dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from annotator.errors import ItemError, UserError
from annotator.models.engines.detector_engines import OnnxDetector, TorchDetector
from annotator.models.openmmlab.build import build, default_scope
from annotator.models.openmmlab.configs import dataset_of, test_pipeline, type_name
from annotator.models.passes import Passes
from annotator.models.sources import ModelSource
from annotator.people import Detections


@dataclass(frozen=True, slots=True)
class DetectorInput:
    """One image, ready for the network.

    Attributes:
        pixels: (3, H, W) as the config's test pipeline left it.
        sample: MMDetection's record of sizes and scale.
        width, height: of the upright image, in pixels.
    """

    pixels: Tensor
    sample: Any
    width: int
    height: int


class Detector:
    """An MMDetection model that finds people.

    Args:
        source: the model.
        device: torch device.
        precision: of backbone and neck: "fp32" ("auto"), "bf16" or "fp16"; heads and boxes stay float32.
        engine: what carries out the network: "torch", "onnx" or "tensorrt".
        score_threshold: boxes below it are dropped.
        max_people: at most this many boxes an image, best first; None: as many as the config allows.

    Attributes:
        engine: carries out the network, and says in which precision.

    Raises:
        UserError: the model knows no people, or cannot be built.
    """

    def __init__(
        self,
        source: ModelSource,
        *,
        device: str = "cpu",
        precision: str = "fp32",
        engine: str = "torch",
        score_threshold: float = 0.1,
        max_people: int | None = None,
    ) -> None:
        from mmcv.transforms import Compose

        built = build(source)
        self._person = _person_label(built.config, built.meta, source.name)
        pipeline = test_pipeline(built.config)
        loaders = [transform for transform in pipeline if type_name(transform).startswith("Load")]
        self._to_float32 = any(transform.get("to_float32") for transform in loaders)
        with default_scope("mmdet"):
            self._transforms = Compose([transform for transform in pipeline if transform not in loaders])
        self._network: Any = built.network.to(device)
        if engine == "torch":
            self.engine = TorchDetector(self._network, torch.device(device), precision)
        else:
            self.engine = OnnxDetector(self._network, source.name, torch.device(device), precision, engine)
        self._network.extract_feat = self.engine
        self._score_threshold = score_threshold
        self._max_people = max_people
        self._passes = Passes()

    def prepare(self, image: np.ndarray) -> DetectorInput:
        """The network's input of an image (H, W, 3) uint8 RGB; for decode threads, several at a time."""
        height, width = image.shape[:2]
        # MMDetection's transforms and normalisation start from what OpenCV reads.
        pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if self._to_float32:
            pixels = pixels.astype(np.float32)
        shape = (height, width)
        results = self._transforms(
            {"img": pixels, "img_shape": shape, "ori_shape": shape, "img_id": 0, "img_path": None}
        )
        assert isinstance(results, dict)
        return DetectorInput(results["inputs"], results["data_samples"], width, height)

    def detect(self, inputs: Sequence[DetectorInput]) -> list[Detections]:
        """People of each image, best first, boxes clipped to the image; equal shapes share a pass.

        Raises:
            ItemError: the network gave values that are not finite for one of the images.
        """
        found: list[Detections] = [Detections.none()] * len(inputs)
        shapes: dict[tuple[int, ...], list[int]] = {}
        for place, one in enumerate(inputs):
            shapes.setdefault(tuple(one.pixels.shape), []).append(place)
        for places in shapes.values():
            for place, people in zip(places, self._in_passes([inputs[i] for i in places]), strict=True):
                found[place] = people
        return found

    def _in_passes(self, inputs: Sequence[DetectorInput]) -> Iterator[Detections]:
        """People of images of one shape."""
        passes = self._passes.over(len(inputs), lambda part: self._detect(inputs[part]))
        return chain.from_iterable(passes)

    @torch.inference_mode()
    def _detect(self, inputs: Sequence[DetectorInput]) -> list[Detections]:
        data = {"inputs": [one.pixels for one in inputs], "data_samples": [one.sample for one in inputs]}
        data = self._network.data_preprocessor(data, False)
        samples = self._network(**data, mode="predict")
        if not self.engine.finite:
            raise ItemError("detect", "non_finite", "the detector's network gave values that are not finite")
        return [
            self._people(sample.pred_instances, one.width, one.height)
            for sample, one in zip(samples, inputs, strict=True)
        ]

    def _people(self, instances: Any, width: int, height: int) -> Detections:
        kept = (instances.labels == self._person) & (instances.scores >= self._score_threshold)
        boxes = instances.bboxes[kept].double().cpu().numpy()
        scores = instances.scores[kept].float().cpu().numpy()
        boxes[:, 0::2] = boxes[:, 0::2].clip(0, width)
        boxes[:, 1::2] = boxes[:, 1::2].clip(0, height)
        whole = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
        order = whole[np.argsort(-scores[whole], kind="stable")][: self._max_people]
        return Detections(boxes[order], scores[order])


def _person_label(config: Any, meta: Mapping[str, Any], name: str) -> int:
    """Index of the person class among those the network tells apart."""
    count = _num_classes(config.model)
    if count == 1:
        return 0
    candidates = [
        ((dataset_of(config) or {}).get("metainfo") or {}).get("classes"),
        (config.get("metainfo") or {}).get("classes"),
        (meta.get("dataset_meta") or {}).get("classes") or meta.get("CLASSES"),
        _dataset_classes(config),
    ]
    for classes in candidates:
        if classes and not isinstance(classes, str) and count in (None, len(classes)):
            for label, class_name in enumerate(classes):
                if str(class_name).lower() in ("person", "people", "human", "pedestrian"):
                    return label
            raise UserError(
                f"{name} detects {len(classes)} classes, none of them a person: {', '.join(classes[:5])}"
            )
    raise UserError(f"{name}: neither config nor checkpoint names the {count} classes it detects")


def _num_classes(part: Any) -> int | None:
    """The first `num_classes` in a model config, breadth first."""
    level = [part]
    while level:
        for one in level:
            if isinstance(one, Mapping) and isinstance(one.get("num_classes"), int):
                return one["num_classes"]
        level = [
            value
            for one in level
            for value in (one.values() if isinstance(one, Mapping) else one)
            if isinstance(value, Mapping | list | tuple)
        ]
    return None


def _dataset_classes(config: Any) -> Sequence[str] | None:
    dataset = dataset_of(config)
    if dataset is None:
        return None
    with default_scope("mmdet"):
        import mmdet.datasets  # noqa: F401
        from mmdet.registry import DATASETS

        class_ = DATASETS.get(type_name(dataset))
    return (getattr(class_, "METAINFO", None) or {}).get("classes")
