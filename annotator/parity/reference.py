"""MMPose's own side of each comparison: its estimator, built and fed as its own inference does it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from annotator.models.openmmlab.build import build, default_scope
from annotator.models.sources import ModelSource
from annotator.parity.pictures import Picture


class Reference:
    """MMPose's estimator of a source, with the same numbers as ours in its weights.

    The weights are read once, by our loader, and put into both networks: what is compared is everything after
    that. With random weights, both have the same random ones.

    Attributes:
        estimator: `mmpose.apis.init_model`'s.
        codec: name of the head's codec, or of the head where it has none.
    """

    def __init__(self, source: ModelSource) -> None:
        built = build(source)
        with default_scope("mmpose"), warnings.catch_warnings():
            # `init_model` complains of the checkpoint it is not given, and makes all warnings heard.
            warnings.simplefilter("ignore")
            import mmpose.datasets  # noqa: F401 - registers the transforms
            from mmengine.dataset import Compose
            from mmpose.apis import init_model
            from mmpose.apis.inference import dataset_meta_from_config

            self.estimator: Any = init_model(source.config_path, None, device="cpu")
            self.estimator.load_state_dict(built.network.state_dict())
            # Ours has no use for visibilities either.
            self.estimator.head = getattr(self.estimator.head, "pose_head", self.estimator.head)
            self.estimator.requires_grad_(False)
            config = self.estimator.cfg
            # As `init_model` does it for a checkpoint.
            meta = built.meta.get("dataset_meta") or dataset_meta_from_config(config, "test")
            self.estimator.dataset_meta = meta or self.estimator.dataset_meta
            self._pipeline = Compose(config.test_dataloader.dataset.pipeline)
        head = built.config.model.head
        head = head.get("pose_cfg") or head
        decoder = head.get("decoder") or {}
        last = decoder[-1] if isinstance(decoder, list | tuple) else decoder
        self.codec = str(last.get("type") or head.type).rpartition(".")[2]

    def packed(self, pictures: Sequence[Picture]) -> list[dict[str, Any]]:
        """The pipeline's result for each box of each picture: `inputs` and `data_samples`."""
        with default_scope("mmpose"):
            return [
                self._packed(picture, {"bbox": box[None], "bbox_score": np.ones(1, np.float32)})
                for picture in pictures
                for box in picture.boxes
            ]

    def packed_whole(self, pictures: Sequence[Picture]) -> list[dict[str, Any]]:
        """The pipeline's result for each whole picture."""
        with default_scope("mmpose"):
            return [self._packed(picture, {}) for picture in pictures]

    def _packed(self, picture: Picture, region: dict[str, Any]) -> dict[str, Any]:
        # MMPose reads pictures as BGR.
        pixels = np.ascontiguousarray(picture.pixels[..., ::-1])
        packed = self._pipeline({"img": pixels, **region, **self.estimator.dataset_meta})
        assert isinstance(packed, dict)
        return packed

    @torch.no_grad()
    def raw_outputs(self, packed: Sequence[dict[str, Any]], mirror: bool = False) -> Any:
        """What the head's `forward` returns for a batch, or for its mirror images."""
        batch = {key: [one[key] for one in packed] for key in ("inputs", "data_samples")}
        pixels = self.estimator.data_preprocessor(batch, training=False)["inputs"]
        pixels = pixels.to(next(self.estimator.parameters()).dtype)
        features = self.estimator.extract_feat(pixels.flip(-1) if mirror else pixels)
        return self.estimator.head.forward(features)

    @torch.no_grad()
    def decoded(
        self, samples: Sequence[Any], plain: Any, mirrored: Any | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints (N, K, 2), input pixels, and scores (N, K) that the head makes of given raw outputs.

        Args:
            samples: `data_samples` of the crops.
            plain: raw outputs of the crops.
            mirrored: those of their mirror images; None: no flip test.
        """
        head = self.estimator.head
        test_config = {**self.estimator.test_cfg, "flip_test": mirrored is not None}
        outputs = copied(plain) if mirrored is None else [copied(plain), copied(mirrored)]
        head.forward = lambda given: given
        try:
            with np.errstate(all="ignore"):
                found = head.predict(outputs, list(samples), test_config)
        finally:
            del head.forward
        people = found[0] if isinstance(found, tuple) else found
        keypoints = np.concatenate([np.asarray(one.keypoints) for one in people])
        return keypoints, np.concatenate([np.asarray(one.keypoint_scores) for one in people])

    def in_image(self, samples: Sequence[Any], keypoints: np.ndarray) -> np.ndarray:
        """Keypoints of crops (N, K, 2) in pixels of their images, as the estimator's results have them."""
        from mmengine.structures import InstanceData

        people = [
            InstanceData(keypoints=one[None].astype(np.float32), keypoint_scores=np.ones((1, len(one))))
            for one in keypoints
        ]
        kept = self.estimator.test_cfg.get("output_keypoint_indices")
        self.estimator.test_cfg["output_keypoint_indices"] = None
        try:
            samples = self.estimator.add_pred_to_datasample(people, None, list(samples))
        finally:
            self.estimator.test_cfg["output_keypoint_indices"] = kept
        return np.concatenate([sample.pred_instances.keypoints for sample in samples])

    @property
    def kept(self) -> list[int] | None:
        """Indices of the keypoints that the config keeps, or None for all."""
        return self.estimator.test_cfg.get("output_keypoint_indices")


def copied(outputs: Any) -> Any:
    """Raw outputs as new tensors in MMPose's layout: its heads write into theirs, and view them."""
    if isinstance(outputs, list | tuple):
        return type(outputs)(copied(part) for part in outputs)
    return outputs.clone(memory_format=torch.contiguous_format)
