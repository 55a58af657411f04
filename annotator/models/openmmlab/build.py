"""Networks from configs, without OpenMMLab's runner: built, weights in, ready for inference."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annotator.errors import UserError
from annotator.models.openmmlab import mmlab
from annotator.models.openmmlab.configs import load_model_config, type_name
from annotator.models.sources import ModelSource
from annotator.models.weights.loading import load_checkpoint, load_into

if TYPE_CHECKING:
    from mmengine.config import Config
    from torch import nn

# Building switches mmengine's default scope, which is global.
_building = threading.RLock()


@dataclass(frozen=True)
class Built:
    """A network in evaluation mode, with what it was built from.

    Attributes:
        network: on the CPU, float32, gradients off.
        config: with everything it inherits.
        meta: what the trainer wrote into the checkpoint.
    """

    network: nn.Module
    config: Config
    meta: dict[str, Any]


def build(source: ModelSource, seed: int = 0) -> Built:
    """The network of a source, with its weights, or with random ones from `seed` when it has none.

    Raises:
        UserError: the config asks for what is not installed, or the weights belong to another network.
    """
    mmlab.prepare()
    config = load_model_config(source.config_path, source.kind)
    meta: dict[str, Any] = {}
    with _seeded(seed):
        network: Any = build_network(config, source.kind, source.config_path)
        if source.weights_path is None and hasattr(network, "init_weights"):
            network.init_weights()
    if source.weights_path is not None:
        checkpoint = load_checkpoint(source.weights_path, source.sha256)
        load_into(network, checkpoint, source.weights_path)
        meta = checkpoint.meta
    return Built(network.eval().requires_grad_(False), config, meta)


def build_network(config: Config, kind: str, path: str) -> nn.Module:
    """The network of a config, its own weights as its layers start out; nothing is downloaded.

    Raises:
        UserError: a part is unknown, or its arguments do not fit.
    """
    from mmengine.model import revert_sync_batchnorm

    model = _without_downloads(config.model)
    scope = "mmpose" if kind == "pose" else "mmdet"
    try:
        with default_scope(scope):
            if kind == "pose":
                from mmpose.registry import MODELS
            else:
                from mmdet.registry import MODELS
            network = MODELS.build(model)
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - a config can ask for anything
        first = (str(error).strip().splitlines() or [""])[0][:300]
        raise UserError(f"{path}: cannot build {type_name(model)}: {type(error).__name__}: {first}") from None
    return revert_sync_batchnorm(network)


@contextmanager
def default_scope(scope: str) -> Iterator[None]:
    """mmengine's registries look names up in `scope` first, as long as this lasts; one thread at a time."""
    from mmengine.registry import DefaultScope

    _import_registered(scope)
    with _building, DefaultScope.overwrite_default_scope(scope):
        yield


def _import_registered(scope: str) -> None:
    mmlab.prepare()
    if scope == "mmpose":
        import mmpose.codecs
        import mmpose.models  # noqa: F401
    else:
        import mmdet.datasets.transforms
        import mmdet.models  # noqa: F401


def _without_downloads(part: Any) -> Any:
    """A copy of a model config in which no part names weights to start training from."""
    if isinstance(part, dict):
        result = {}
        for key, value in part.items():
            if key == "pretrained" or (key == "init_cfg" and _is_pretrained(value)):
                value = None
            result[key] = _without_downloads(value)
        return type(part)(result)
    if isinstance(part, list | tuple):
        return type(part)(_without_downloads(value) for value in part)
    return part


def _is_pretrained(init: Any) -> bool:
    if isinstance(init, list | tuple):
        return any(_is_pretrained(one) for one in init)
    return isinstance(init, Mapping) and type_name(init) in ("Pretrained", "PretrainedInit")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
