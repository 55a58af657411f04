"""Top-down pose estimation: given people in, keypoints out, all people of all images in shared batches."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from annotator.errors import UserError
from annotator.models.crops_ahead import CropsAhead, Spent
from annotator.models.engines.engine import Engine, Normalization, PoseNetwork
from annotator.models.engines.engine_choice import make_engine
from annotator.models.engines.outputs import split
from annotator.models.estimator import Estimator
from annotator.models.openmmlab.build import build
from annotator.models.openmmlab.configs import find_transform, test_pipeline, type_name
from annotator.models.passes import Passes
from annotator.models.skeleton import skeleton_of, subset
from annotator.models.sources import ModelSource
from annotator.people import Detections, Poses
from annotator.pose.boxes import bbox_to_center_scale, usable, xyxy_to_xywh
from annotator.pose.crops import to_image, warp_matrices
from annotator.pose.decoding import Outputs, make_decoder, select
from annotator.pose.flip import FlipTest
from annotator.pose.oks import instance_score


class TopDown(Estimator):
    """An MMPose top-down estimator: its network and config, but neither its inferencer nor its loops.

    Args:
        source: the model.
        device: torch device.
        precision: "auto", "fp32", "bf16" or "fp16".
        flip: whether to average with the mirrored crop; None: as the config says.
        batch_people: crops in one pass of the network, at most; mirrored ones not counted.
        engine: what carries out the network: "torch", "onnx", "tensorrt", or an engine.

    Attributes:
        flip: whether the flip test is on.
        engine: carries out the network, with its normalisation.
        spent: where the time of `estimate` has gone since `take_figures`.

    Raises:
        UserError: the config is not one of a top-down model, or its weights do not fit.
    """

    input_size: tuple[int, int]

    def __init__(
        self,
        source: ModelSource,
        *,
        device: str = "cpu",
        precision: str = "fp32",
        flip: bool | None = None,
        batch_people: int = 32,
        engine: Engine | str = "torch",
    ) -> None:
        built = build(source)
        model = built.config.model
        if type_name(model) != "TopdownPoseEstimator":
            raise UserError(f"{source.name} is a {type_name(model)}, not a top-down model")
        head = model["head"]
        if type_name(head) == "VisPredictHead":
            # A head around the one that places keypoints. What it says of their visibility touches neither
            # places nor scores, and v is decided by a policy whatever the model.
            built.network.head, head = built.network.head.pose_head, head["pose_cfg"]  # type: ignore[union-attr]
        self._decode = make_decoder(head.get("decoder") or {}, head)
        self._padding, self.input_size, self._use_udp = _crop_rules(
            test_pipeline(built.config), source.config_path
        )
        test_config = model.get("test_cfg") or {}
        full = skeleton_of(built.config, built.meta, source.config_path)
        self._kept = test_config.get("output_keypoint_indices")
        self.skeleton = full if self._kept is None else subset(full, self._kept)
        self.flip = bool(test_config.get("flip_test", False)) if flip is None else flip
        self._flip_test = FlipTest(
            kind=self._decode.kind,
            indices=full.flip_indices,
            shift_heatmap=bool(test_config.get("shift_heatmap", False)),
            shift_coords=bool(test_config.get("shift_coords", True)),
            input_width=self.input_size[0],
        )
        self._passes = Passes(batch_people)
        self.spent = Spent()
        self.engine: Engine = (
            make_engine(
                engine,
                PoseNetwork(built.network),
                Normalization.from_config(model.get("data_preprocessor")),
                self.input_size,
                source.name,
                device=device,
                precision=precision,
                batch=batch_people * (2 if self.flip else 1),
            )
            if isinstance(engine, str)
            else engine
        )

    @property
    def alone(self) -> tuple[TopDown, ...]:
        """Itself."""
        return (self,)

    @property
    def batch_people(self) -> int:
        """Crops in one pass, at most; halved when the device runs out of memory."""
        return self._passes.most

    def estimate(self, images: Sequence[np.ndarray], boxes: Sequence[Detections | np.ndarray]) -> list[Poses]:
        """Keypoints of the people in some images.

        Args:
            images: (H, W, 3) uint8 RGB, upright.
            boxes: people of each image; a bare (N, 4) array of [x1, y1, x2, y2] counts as boxes of score 1.

        Returns:
            One `Poses` an image, its people in the order of their boxes. A person for whom the network gave
            values that are not finite has NaN in keypoints and scores. Boxes without extent, or not finite,
            get keypoints at their centre (else 0) with score 0.
        """
        people = [_as_detections(given) for given in boxes]
        if not people:
            return []
        counts = [len(found) for found in people]
        bboxes = np.concatenate([found.bboxes for found in people])
        image_index = np.repeat(np.arange(len(counts)), counts)
        center, scale, matrices = self.regions(bboxes)
        middle = np.nan_to_num(center, posinf=0, neginf=0)[:, None, None]
        # (N, 3, K, 2): the pose, and with a flip test the two that it averages.
        points = np.repeat(np.repeat(middle, 3 if self.flip else 1, axis=1), len(self.skeleton), axis=2)
        points = points.astype(np.float32)
        scores = np.zeros((len(bboxes), len(self.skeleton)), np.float32)
        entropies = np.zeros_like(scores)
        good = np.flatnonzero(usable(bboxes))
        at = 0
        for in_crop, found, spread in self._batches(images, image_index[good], matrices[good]):
            part = good[at : at + len(found)]
            n, halves, joints, _ = in_crop.shape
            placed = to_image(
                in_crop.reshape(n, halves * joints, 2), center[part], scale[part], self.input_size
            )
            points[part] = placed.reshape(in_crop.shape)
            scores[part] = found
            entropies[part] = spread
            at += len(found)
            self.on_batch()
        ends = np.cumsum(counts)[:-1]
        arrays = (np.split(array, ends) for array in (points, scores, entropies))
        return [
            _poses(found, *parts, has_maps=self._decode.kind != "regression")  # pyright: ignore[reportCallIssue]
            for found, *parts in zip(people, *arrays, strict=True)
        ]

    def take_figures(self) -> dict[str, float]:
        """Seconds since the last call: waiting for crops, in the network, decoding keypoints."""
        spent, self.spent = self.spent, Spent()
        return {"crop": spent.crop, "network": spent.network, "keypoints": spent.decode}

    def regions(self, bboxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the network sees of each person.

        Args:
            bboxes: (N, 4) [x1, y1, x2, y2], pixels of the image.

        Returns:
            center and scale, (N, 2) each, pixels of the image, and (N, 2, 3) maps from image to input pixels.
        """
        center, scale = bbox_to_center_scale(bboxes, self._padding, self.input_size[0] / self.input_size[1])
        return center, scale, warp_matrices(center, scale, self.input_size, self._use_udp)

    def decode(self, plain: Outputs, mirrored: Outputs | None = None) -> tuple[Tensor, Tensor]:
        """Keypoints (N, K, 2), input pixels, and scores (N, K) of the network's outputs for N crops.

        Args:
            plain: what `engine` returned for the crops.
            mirrored: what it returned for their mirror images, for the flip test.

        Returns:
            NaN for all joints of a crop for which the network gave values that are not finite.
        """
        outputs = plain if mirrored is None else self._flip_test.merge(plain, mirrored)
        parts = [torch.as_tensor(part) for part in select(outputs, self._decode.kind)]
        keypoints, scores = self._decode(parts if len(parts) > 1 else parts[0])
        finite = torch.stack([part.isfinite().flatten(1).all(dim=1) for part in parts]).all(dim=0)
        # The decoder turns what is not finite into zeros, which would pass for a person with hidden joints.
        keypoints = torch.where(finite[:, None, None], keypoints, torch.nan)
        scores = torch.where(finite[:, None], scores, torch.nan)
        if self._kept is not None:
            keypoints, scores = keypoints[:, self._kept], scores[:, self._kept]
        return keypoints, scores

    def _batches(
        self, images: Sequence[np.ndarray], image_index: np.ndarray, matrices: np.ndarray
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """What `_look` finds in all crops, as numpy arrays, a batch at a time."""
        with CropsAhead(images, image_index, matrices, self.input_size, self._passes, self.spent) as cropper:
            for found in self._passes.over(
                len(matrices), lambda part: self._look(torch.from_numpy(cropper.take(part)))
            ):
                yield tuple(one.cpu().numpy() for one in found)

    @torch.inference_mode()
    def _look(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Poses in input pixels (n, 1 or 3, K, 2), scores and entropies (n, K) of (n, H, W, 3) crops.

        With a flip test there are three poses: the average, that of the crop, that of its mirror image.
        """
        started = time.perf_counter()
        outputs = self.engine(crops, mirror=self.flip)
        if self.engine.device.type == "cuda":
            torch.cuda.synchronize(self.engine.device)
        decoding = time.perf_counter()
        self.spent.network += decoding - started
        try:
            return self._decoded(outputs, len(crops))
        finally:
            self.spent.decode += time.perf_counter() - decoding

    def _decoded(self, outputs: Outputs, count: int) -> tuple[Tensor, Tensor, Tensor]:
        if not self.flip:
            keypoints, scores = self.decode(outputs)
            return keypoints[:, None], scores, self._entropies(outputs, scores)
        plain, mirrored = split(outputs, count)
        back = self._flip_test.back(mirrored)
        average = self._flip_test.average(plain, back)
        keypoints, scores = self.decode(average)
        # Values that are not finite show in the average already.
        halves = [torch.as_tensor(self._decode(half)[0]) for half in (plain, back)]
        if self._kept is not None:
            halves = [half[:, self._kept] for half in halves]
        return torch.stack([keypoints, *halves], dim=1), scores, self._entropies(average, scores)

    def _entropies(self, outputs: Outputs, scores: Tensor) -> Tensor:
        entropies = self._decode.entropies(outputs)
        if entropies is None:
            return torch.zeros_like(scores)
        return entropies if self._kept is None else entropies[:, self._kept]


def _poses(
    people: Detections, points: np.ndarray, keypoint_scores: np.ndarray, entropies: np.ndarray, has_maps: bool
) -> Poses:
    scores = instance_score(people.scores, keypoint_scores)
    scores[~np.isfinite(keypoint_scores).all(axis=1)] = np.nan
    return Poses(
        xyxy_to_xywh(people.bboxes),
        people.scores,
        points[:, 0],
        keypoint_scores,
        scores,
        keypoint_entropies=entropies if has_maps else None,
        halves=points[:, 1:] if points.shape[1] > 1 else None,
    )


def _as_detections(given: Detections | np.ndarray) -> Detections:
    if isinstance(given, Detections):
        return given
    bboxes = np.asarray(given, np.float64).reshape(-1, 4)
    return Detections(bboxes, np.ones(len(bboxes), np.float32))


def _crop_rules(pipeline: list[dict[str, Any]], path: str) -> tuple[float, tuple[int, int], bool]:
    """Padding, input size and UDP as the test pipeline has them."""
    region, warp = find_transform(pipeline, "GetBBoxCenterScale"), find_transform(pipeline, "TopdownAffine")
    if region is None or warp is None:
        missing = "GetBBoxCenterScale" if region is None else "TopdownAffine"
        raise UserError(f"{path}: the test pipeline has no {missing}, so it does not say how to crop people")
    width, height = warp["input_size"]
    return float(region.get("padding", 1.25)), (int(width), int(height)), bool(warp.get("use_udp", False))
