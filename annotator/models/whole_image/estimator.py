"""Bottom-up and one-stage pose estimation: whole images in, people with their keypoints out, no detector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from annotator.errors import ItemError, UserError
from annotator.models.engines.engine import PRECISIONS, Normalization, check_precision
from annotator.models.estimator import Estimator
from annotator.models.openmmlab.build import build
from annotator.models.openmmlab.configs import find_transform, test_pipeline, type_name
from annotator.models.passes import Passes
from annotator.models.skeleton import skeleton_of
from annotator.models.sources import ModelSource
from annotator.models.whole_image.head import Features, Found
from annotator.models.whole_image.heads import make_head
from annotator.people import Poses
from annotator.pose.boxes import extent, xyxy_to_xywh
from annotator.pose.canvas import Canvas, Placement
from annotator.pose.crops import crop_batch_cv2
from annotator.pose.oks import ScoreMode, instance_score, oks_nms, soft_oks_nms

# Images that cover the input ("expand") make it as long as they are elongated; memory grows with it.
_MAX_INPUT_PIXELS = 8 << 20
_BATCH_PIXELS = 4 << 20


@dataclass(frozen=True, slots=True)
class WholeImageInput:
    """One image, ready for the network.

    Attributes:
        pixels: (H, W, 3) uint8 RGB: the image on the network's input.
        placement: where it lies there.
    """

    pixels: np.ndarray
    placement: Placement


@dataclass(frozen=True)
class Ranking:
    """How people get their score, and which of them are the same person: MMPose's `CocoMetric`.

    Attributes:
        mode: see `pose.oks.instance_score`.
        keypoint_threshold: for mode "bbox_keypoint".
        nms: "oks_nms", "soft_oks_nms" or "none".
        nms_threshold: OKS above which the weaker of two people is dropped.
    """

    mode: ScoreMode = "bbox_keypoint"
    keypoint_threshold: float = 0.2
    nms: str = "oks_nms"
    nms_threshold: float = 0.9

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Ranking:
        """As the config's evaluator has it, else that metric's defaults."""
        for key in ("test_evaluator", "val_evaluator"):
            evaluators = config.get(key) or []
            for metric in [evaluators] if isinstance(evaluators, Mapping) else evaluators:
                if type_name(metric) == "CocoMetric":
                    return cls(
                        metric.get("score_mode", cls.mode),
                        metric.get("keypoint_score_thr", cls.keypoint_threshold),
                        metric.get("nms_mode", cls.nms),
                        metric.get("nms_thr", cls.nms_threshold),
                    )
        return cls()

    def __call__(
        self, keypoints: np.ndarray, keypoint_scores: np.ndarray, own: np.ndarray, sigmas: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the people of one image that stay, best first, and all people's scores, (N,) float32.

        Args:
            keypoints: (N, K, 2) pixels, keypoint_scores: (N, K).
            own: (N,) the model's score of each person, 1 where it gives none.
            sigmas: (K,).
        """
        scores = instance_score(own, keypoint_scores, self.mode, self.keypoint_threshold)
        if self.nms == "none" or not len(scores):
            return np.argsort(-scores, kind="stable"), scores
        sides = keypoints.max(axis=1) - keypoints.min(axis=1)
        suppress = {"oks_nms": oks_nms, "soft_oks_nms": soft_oks_nms}[self.nms]
        return suppress(keypoints, scores, sides.prod(axis=1), sigmas, self.nms_threshold), scores


class WholeImage(Estimator):
    """An MMPose bottom-up or one-stage estimator: its network and config, but not its inferencer and loops.

    Args:
        source: the model.
        device: torch device.
        precision: of backbone and neck: "fp32" ("auto"), "bf16" or "fp16"; heads and decoding are float32.
        flip: whether to use the mirrored image too; None: as the config says.
        score_threshold: people whose score is below it are dropped; None keeps all that pass the model's own
            limits.
        max_people: at most this many people an image, best first; None: as many as the model finds.
        batch_images: images in one pass of the network, at most; fewer where the network's input is large,
            halved when the device runs out of memory.

    Attributes:
        flip: whether the flip test is on.

    Raises:
        UserError: the config is not one of such a model, its weights do not fit, or it has no flip test.
    """

    whole_image = True

    def __init__(
        self,
        source: ModelSource,
        *,
        device: str = "cpu",
        precision: str = "auto",
        flip: bool | None = None,
        score_threshold: float | None = None,
        max_people: int | None = None,
        batch_images: int = 16,
    ) -> None:
        built = build(source)
        model = built.config.model
        if type_name(model) != "BottomupPoseEstimator":
            raise UserError(f"{source.name} is a {type_name(model)}, not a model for whole images")
        test_config = dict(model.get("test_cfg") or {})
        self.skeleton = skeleton_of(built.config, built.meta, source.config_path)
        self._head = make_head(built.network.head, test_config, self.skeleton, source.name)  # type: ignore[arg-type]
        self.flip = bool(test_config.get("flip_test", False)) if flip is None else flip
        if self.flip and not self._head.can_flip:
            raise UserError(f"{source.name} has no flip test: leave out --flip")
        self._canvas, border = _resize_rules(test_pipeline(built.config), source.config_path)
        self._border = border
        self._ranking = Ranking.from_config(built.config.to_dict())
        self._sigmas = np.array(self.skeleton.sigmas)
        self._network = _Backbone(built.network, model.get("data_preprocessor") or {}, device, precision)
        self._score_threshold = score_threshold
        self._max_people = max_people
        self._passes = Passes(batch_images)

    def prepare(self, image: np.ndarray) -> WholeImageInput:
        """The network's input of an image (H, W, 3) uint8 RGB; for decode threads, several at a time.

        Raises:
            ItemError: the image is so elongated that the input it asks for is too large.
        """
        height, width = image.shape[:2]
        placement = self._canvas.place(width, height)
        if placement.size[0] * placement.size[1] > _MAX_INPUT_PIXELS:
            raise ItemError(
                "pose",
                "too_elongated",
                f"{width}x{height} is too elongated for this model: its input would be "
                f"{placement.size[0]}x{placement.size[1]}; a top-down model takes it",
            )
        pixels = crop_batch_cv2(
            [image], np.zeros(1, np.int64), placement.matrix[None], placement.size, border=self._border
        )[0]
        return WholeImageInput(pixels, placement)

    def find(self, inputs: Sequence[WholeImageInput]) -> list[Poses]:
        """People of each image, best first. Inputs of equal size share passes of the network.

        Boxes are the model's where it gives some, else the extent of all keypoints. The score of a person is
        what the config's evaluator ranks by: the model's own score (RTMO, YOLOX-Pose, AE) or the mean of the
        keypoint scores (DEKR, CID), which then also stands for the score of the box.

        Raises:
            ItemError: the network gave values that are not finite for one of the images.
        """
        poses: list[Poses | None] = [None] * len(inputs)
        sizes: dict[tuple[int, int], list[int]] = {}
        for place, one in enumerate(inputs):
            sizes.setdefault(one.placement.size, []).append(place)
        for size, places in sizes.items():
            found = self._in_passes([inputs[place].pixels for place in places], size)
            for place, people in zip(places, found, strict=True):
                poses[place] = self._poses(people, inputs[place].placement)
        return [one for one in poses if one is not None]

    def _in_passes(self, pixels: Sequence[np.ndarray], size: tuple[int, int]) -> Iterator[Found]:
        """People of images of one size."""

        def look(part: slice) -> list[Found]:
            found = self._find(np.stack(pixels[part]), size)
            self.on_batch()
            return found

        room = max(1, _BATCH_PIXELS // (size[0] * size[1]))
        return chain.from_iterable(self._passes.over(len(pixels), look, room))

    @torch.inference_mode()
    def _find(self, pixels: np.ndarray, size: tuple[int, int]) -> list[Found]:
        batch = self._network.normalise(torch.from_numpy(pixels))
        features = self._network(batch)
        mirrored = self._network(batch.flip(-1)) if self.flip else None
        return self._head.find(features, mirrored, size)

    def _poses(self, found: Found, placement: Placement) -> Poses:
        keypoints = placement.to_image(found.keypoints)
        own = np.ones(len(keypoints), np.float32) if found.scores is None else found.scores
        order, scores = self._ranking(keypoints, found.keypoint_scores, own, self._sigmas)
        if self._score_threshold is not None:
            order = order[scores[order] >= self._score_threshold]
        order = order[: self._max_people]
        keypoints = keypoints.astype(np.float32)
        if found.bboxes is None:
            # Of the joints as they are stored: rounded after it, one could lie outside.
            bboxes = extent(keypoints)
        else:
            bboxes = xyxy_to_xywh(placement.to_image(found.bboxes.reshape(-1, 2, 2)).reshape(-1, 4))
        return Poses(
            bboxes[order],
            (scores if found.scores is None else found.scores)[order].astype(np.float32),
            keypoints[order],
            found.keypoint_scores[order].astype(np.float32),
            scores[order],
        )


class _Backbone:
    """Backbone and neck of an estimator in a chosen precision, with the normalisation of their input."""

    def __init__(self, network: Any, preprocessor: Mapping[str, Any], device: str, precision: str) -> None:
        precision = "fp32" if precision == "auto" else precision
        self._device = torch.device(device)
        check_precision(precision, self._device)
        self._dtype = PRECISIONS[precision]
        # MMPose's layout adds up in MMPose's order: in float32 on a CPU, results are the same to the bit.
        exact = self._device.type == "cpu" and self._dtype == torch.float32
        self._layout = torch.contiguous_format if exact else torch.channels_last
        self._network = network.to(device, memory_format=self._layout)
        normalization = Normalization.from_config(preprocessor)
        self._order = [0, 1, 2] if normalization.rgb else [2, 1, 0]
        self._mean = torch.tensor(normalization.mean, device=self._device).view(-1, 1, 1)
        self._std = torch.tensor(normalization.std, device=self._device).view(-1, 1, 1)
        self._divisor = int(preprocessor.get("pad_size_divisor", 1))
        self._pad_value = float(preprocessor.get("pad_value", 0))

    def normalise(self, pixels: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 RGB -> (N, 3, H', W') float32 on the device, sides padded to the divisor."""
        batch = pixels.to(self._device, non_blocking=True).permute(0, 3, 1, 2)[:, self._order].float()
        batch = (batch - self._mean) / self._std
        below, right = (-side % self._divisor for side in batch.shape[2:])
        return functional.pad(batch, (0, right, 0, below), value=self._pad_value)

    def __call__(self, batch: Tensor) -> Features:
        """Features of all levels, float32."""
        batch = batch.contiguous(memory_format=self._layout)
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            features = self._network.extract_feat(batch)
        features = tuple(level.float() for level in features)
        if not all(bool(level.isfinite().all()) for level in features):
            # Below every threshold, an image full of people would look empty.
            raise ItemError("pose", "not_finite", "the model's network gave values that are not finite")
        return features


def _resize_rules(pipeline: list[dict[str, Any]], path: str) -> tuple[Canvas, tuple[int, int, int]]:
    """Geometry and border colour (RGB) as the test pipeline has them."""
    resize = find_transform(pipeline, "BottomupResize")
    if resize is None:
        raise UserError(
            f"{path}: the test pipeline has no BottomupResize, so it does not say how to resize images"
        )
    width, height = resize["input_size"]
    try:
        canvas = Canvas(
            (int(width), int(height)),
            int(resize.get("size_factor", 32)),
            resize.get("resize_mode", "fit"),
            bool(resize.get("use_udp", False)),
        )
    except ValueError as error:
        raise UserError(f"{path}: BottomupResize: {error}") from None
    blue, green, red = resize.get("pad_val", (0, 0, 0))
    return canvas, (int(red), int(green), int(blue))
