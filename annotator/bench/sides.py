"""The sides of a benchmark: the loop that MMPose's users write, and our line, from files to people."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from annotator.bench.photos import Photo
from annotator.errors import RunFailed, UserError
from annotator.items import GivenBox, Item
from annotator.media.feed import ImageFeed
from annotator.models.detector import Detector
from annotator.models.engines.onnx_engine import PROVIDERS
from annotator.models.openmmlab.build import build, default_scope
from annotator.models.sources import ModelSource
from annotator.models.topdown import TopDown
from annotator.parity.reference import Reference
from annotator.people import Poses
from annotator.runtime.line import Decoded, StageClock, annotate


@dataclass(frozen=True)
class People:
    """Those of one photo: boxes (N, 4) [x1, y1, x2, y2] with scores (N,), and keypoints (N, K, 2), pixels."""

    boxes: np.ndarray
    scores: np.ndarray
    keypoints: np.ndarray


class Side(Protocol):
    """One contestant."""

    name: str

    def __call__(self, photos: Sequence[Photo]) -> list[People]:
        """Reads the photos and finds the people in them."""
        ...


class MMPoseLoop:
    """`inference_detector` and `inference_topdown`, photo by photo, in MMDetection's and MMPose's own code.

    Weights are ours, so that random ones are the same. Each photo is read once; MMPose's own demo, which
    hands its path on, reads it again for each person.
    """

    name = "MMPose's loop"

    def __init__(
        self,
        pose: ModelSource,
        detector: ModelSource | None,
        threshold: float,
        flip: bool | None,
        device: str,
    ) -> None:
        self.reference = Reference(pose)
        self._pose = self.reference.estimator.to(device)
        if flip is not None:
            self._pose.test_cfg["flip_test"] = flip
        self._detector: Any = None if detector is None else _mmdet(detector, device)
        self._threshold = threshold

    def __call__(self, photos: Sequence[Photo]) -> list[People]:
        """See `Side`: as fast as torch comes, with TensorFloat-32 in a GPU's convolutions."""
        before = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = True
        try:
            return self.exactly(photos)
        finally:
            torch.backends.cudnn.allow_tf32 = before

    def exactly(self, photos: Sequence[Photo]) -> list[People]:
        """The same as the process stands: without TensorFloat-32 once one of our networks is made."""
        import mmcv
        from mmpose.apis import inference_topdown

        found = []
        for photo in photos:
            pixels = mmcv.imread(photo.path)
            boxes, scores = photo.boxes, np.ones(0 if photo.boxes is None else len(photo.boxes))
            if boxes is None:
                boxes, scores = self._detect(pixels)
            if not len(boxes):
                # Without boxes it would take the whole photo for a person.
                found.append(People(np.zeros((0, 4)), scores, np.zeros((0, 0, 2))))
                continue
            with default_scope("mmpose"):
                samples: list[Any] = inference_topdown(self._pose, pixels, boxes)
            keypoints = np.concatenate([sample.pred_instances.keypoints for sample in samples])
            found.append(People(np.asarray(boxes, np.float64), scores, keypoints[..., :2]))
        return found

    def _detect(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from mmdet.apis import inference_detector

        sample: Any = inference_detector(self._detector, pixels)
        instances = sample.pred_instances.cpu().numpy()
        kept = (instances.labels == 0) & (instances.scores >= self._threshold)
        boxes = instances.bboxes[kept]
        # MMDetection clips boxes to its padded input, beyond the photo's right and lower edge. Ours end at
        # the edge, and another box would be another crop.
        height, width = pixels.shape[:2]
        boxes[:, 0::2] = boxes[:, 0::2].clip(0, width)
        boxes[:, 1::2] = boxes[:, 1::2].clip(0, height)
        return boxes, instances.scores[kept]


class Line:
    """Our own: decode threads, detector and pose model in batches, all of `runtime.line`."""

    name = "pose-annotator"

    def __init__(
        self,
        pose: TopDown,
        detector: Detector | None,
        batch_images: int = 16,
        threads: int | None = None,
    ) -> None:
        self.pose, self.detector = pose, detector
        self._batch_images = batch_images
        self._threads = threads or len(os.sched_getaffinity(0))
        self.clock = StageClock()

    def __call__(self, photos: Sequence[Photo]) -> list[People]:
        """See `Side`."""
        self.clock = StageClock()
        self.pose.take_figures()
        with ImageFeed(list(_items(photos)), threads=self._threads, prepare=self._prepare) as feed:
            outcomes = list(
                annotate(feed, self.detector, self.pose, self._batch_images, self.clock)  # type: ignore[arg-type]
            )
        found = []
        for outcome in outcomes:
            if not isinstance(outcome.result, Poses):
                raise RunFailed(f"{outcome.item.uri}: {outcome.result}")
            boxes = outcome.result.bboxes.copy()
            boxes[:, 2:] += boxes[:, :2]
            found.append(People(boxes, outcome.result.bbox_scores, outcome.result.keypoints))
        return found

    def _prepare(self, image: Any) -> Decoded:
        return Decoded(image, None if self.detector is None else self.detector.prepare(image.pixels))


class Rtmlib:
    """rtmlib's `RTMPose` on the ONNX file of our own engine, person by person as it does it.

    Raises:
        UserError: it is not installed, or ONNX Runtime would fall back to another device.
    """

    name = "rtmlib"

    def __init__(self, path: str, input_size: tuple[int, int], device: str) -> None:
        try:
            from rtmlib import RTMPose
        except ImportError:
            raise UserError("--against rtmlib: it is not installed; `make dev` installs it") from None

        with Path(os.devnull).open("w") as quiet, redirect_stdout(quiet):
            self._pose = RTMPose(path, model_input_size=input_size, backend="onnxruntime", device=device)
        session: Any = self._pose.session
        used = session.get_providers()[0]
        if used != PROVIDERS["onnx", torch.device(device).type]:
            raise UserError(
                f"--against rtmlib: ONNX Runtime took {used} for it on {device}; on a GPU install "
                "onnxruntime-gpu in place of onnxruntime"
            )

    def __call__(self, photos: Sequence[Photo]) -> list[People]:
        """See `Side`."""
        import cv2

        found = []
        for photo in photos:
            assert photo.boxes is not None
            # It normalises in the order of the channels it is given.
            pixels = np.ascontiguousarray(np.asarray(cv2.imread(photo.path))[..., ::-1])
            keypoints, _ = self._pose(pixels, list(photo.boxes))
            found.append(People(photo.boxes, np.ones(len(photo.boxes)), keypoints))
        return found


def _items(photos: Sequence[Photo]) -> Iterator[Item]:
    for index, photo in enumerate(photos):
        boxes = None
        if photo.boxes is not None:
            sides = photo.boxes[:, 2:] - photo.boxes[:, :2]
            rows = np.concatenate([photo.boxes[:, :2], sides], axis=1).tolist()
            boxes = tuple(GivenBox((row[0], row[1], row[2], row[3])) for row in rows)
        yield Item(index, index, photo.path, photo.path, 0, boxes)


def _mmdet(source: ModelSource, device: str) -> Any:
    """MMDetection's own estimator with our weights, its pipeline adapted as MMPose's demos do."""
    with default_scope("mmdet"):
        from mmdet.apis import init_detector
        from mmpose.utils import adapt_mmdet_pipeline

        network: Any = init_detector(source.config_path, None, device=device)
        network.load_state_dict(build(source).network.state_dict())
        network.cfg = adapt_mmdet_pipeline(network.cfg)
    return network.eval()


def set_threads(threads: int) -> None:
    """As many threads for torch and OpenCV, on both sides."""
    import cv2

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
