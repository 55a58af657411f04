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
from annotator.models.sources import RANDOM, ModelSource
from annotator.parity.pictures import Picture

_PICTURES = 4
# Of batch normalisation, in standard deviations: one value in six is then cut off by a ReLU, not one in two.
# With 0, as networks are made, deep ones multiply the rounding of float32 by a thousand (RSN, MSPN), which
# trained ones do not.
_SHIFT = 1.0


def responsive(source: ModelSource, pictures: Sequence[Picture], folder: Path) -> ModelSource:
    """A source of random weights whose batch normalisation has taken the statistics of pictures.

    Fresh statistics (mean 0, variance 1) make signals fade from layer to layer: deep networks give the same
    next to nothing for any input, and any comparison of it would succeed. Networks without batch
    normalisation, and those with weights of their own, are returned as they are.

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
    path = folder / f"{Path(source.config_path).stem}.pth"
    torch.save({"state_dict": network.state_dict(), "meta": {}}, path)
    return replace(source, weights_path=str(path), sha256=RANDOM)


def label(source: ModelSource) -> str:
    """What to call the weights: the file's name, or "random"."""
    if source.weights_path is None or source.sha256 == RANDOM:
        return RANDOM
    return Path(source.weights_path).name
