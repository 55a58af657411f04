"""Random weights with which a network responds to its input, so that comparisons tell right from wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from annotator.models.engines.engine import Normalization, normaliser
from annotator.models.openmmlab.build import build
from annotator.models.openmmlab.configs import input_size
from annotator.models.sources import RANDOM, ModelSource, needs_boxes
from annotator.parity.pictures import Picture

_PICTURES = 4
# Of batch normalisation, in standard deviations: one value in six is then cut off by a ReLU, not one in two.
# With 0, as networks are made, deep ones multiply the rounding of float32 by a thousand (RSN, MSPN), which
# trained ones do not.
_SHIFT = 1.0

# Biases of the layers whose outputs become scores start out at "there is nobody": what is added for models
# that find people by themselves to see some.
_SCORES = {
    "out_cls": 4.0,
    "out_obj": 4.0,
    "keypoint_root_conv": 4.0,
    "heatmap_conv": 0.5,
    "rescore_net.l3": 2.0,
    "head.final_layer": 0.3,
}
# Layers whose random outputs would make boxes of e^1000 pixels.
_EXTENTS = ("out_bbox", "out_pose")


def responsive(source: ModelSource, pictures: Sequence[Picture], folder: Path) -> ModelSource:
    """A source of random weights that answer to pictures, and see people where the model has to find them.

    The batch normalisation takes the statistics of pictures. Fresh ones (mean 0, variance 1) make signals
    fade from layer to layer: deep networks give the same next to nothing for any input, and any comparison
    of it would succeed. Networks without batch normalisation, and those with weights of their own, are
    returned as they are.

    Args:
        folder: where the weights are written, as a checkpoint.
    """
    import torch

    if not source.random_weights:
        return source
    built = build(source)
    network: Any = built.network
    norms = [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    size = input_size(built.config)
    if not norms or size is None:
        return source
    batch = np.stack([cv2.resize(picture.pixels, size) for picture in pictures[:_PICTURES]])
    # One picture alone has no variance after global pooling.
    batch = np.concatenate([batch, batch[:, ::-1]])
    normalization = Normalization.from_config(built.config.model.get("data_preprocessor"))
    pixels = normaliser(normalization, torch.device("cpu"))(torch.from_numpy(batch), False)
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
        if norm.affine:
            torch.nn.init.constant_(norm.bias, _SHIFT)
    with torch.no_grad():
        features = network.extract_feat(pixels)
        # CID's head takes one picture at a time.
        one = type(network.head).__name__ == "CIDHead"
        network.head.forward(tuple(level[:1] for level in features) if one else features)
        if not needs_boxes(source):
            _see_people(network)
    path = folder / f"{Path(source.config_path).stem}.pth"
    torch.save({"state_dict": network.state_dict(), "meta": {}}, path)
    return replace(source, weights_path=str(path), sha256=RANDOM)


def _see_people(network: Any) -> None:
    for name, tensor in network.state_dict().items():
        for layer, more in _SCORES.items():
            if name.endswith(".bias") and layer in name:
                tensor += more
        if any(layer in name for layer in _EXTENTS):
            tensor *= 0.001


def label(source: ModelSource) -> str:
    """What to call the weights: the file's name, or "random"."""
    if source.weights_path is None or source.sha256 == RANDOM:
        return RANDOM
    return Path(source.weights_path).name
