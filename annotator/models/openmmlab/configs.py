"""OpenMMLab config files: read, checked for what a run needs, and asked the few questions it has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from annotator.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

_DETECTOR_PARTS = ("bbox_head", "rpn_head", "roi_head", "mask_head", "dense_heads", "query_head")


def load_model_config(path: str | Path, kind: Literal["pose", "detector"]) -> Config:
    """The config at `path`, with all it inherits, if it describes a 2D pose model or a detector as asked.

    A config file is a Python program and is run as such, as by every tool of OpenMMLab. A skeleton in a file
    beside it (`metainfo=dict(from_file='my_dataset.py')`) becomes part of it.

    Raises:
        UserError: no such file, not a config, of another kind of model, or the file beside it is no skeleton.
    """
    path = Path(path)
    config = _read(path)
    model = config.get("model")
    if not isinstance(model, Mapping) or "type" not in model:
        raise UserError(f"{path} is not a model config: it defines no `model = dict(type=...)`")
    found = model_kind(config)
    if found != kind:
        wanted = {"pose": "a 2D pose model", "detector": "a person detector"}[kind]
        is_a = {"pose": "a pose model", "detector": "a detector"}.get(found, found)
        raise UserError(f"{path} describes {is_a} ({type_name(model)}); here {wanted} is needed")
    for dataset in datasets_of(config):
        _take_in_metainfo(dataset, path.parent)
    return config


def model_kind(config: Config) -> str:
    """ "pose", "detector", or a short description of what else the config describes."""
    model = config.model
    name = type_name(model)
    scope = _scope_of(model) or config.get("default_scope")
    if name == "PoseLifter":
        return "a 3D pose lifter"
    if name.endswith("PoseEstimator") or (scope == "mmpose" and "head" in model):
        return "pose"
    if scope == "mmdet" or any(part in model for part in _DETECTOR_PARTS):
        return "detector"
    return "another kind of model"


def type_name(part: Mapping[str, Any]) -> str:
    """Class name that a config's part asks for, without its scope."""
    kind = part["type"]
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition(".")[2]


def config_sha256(config: Config) -> str:
    """Hash of what the config resolves to, hex: comments, order and inheritance make no difference."""
    return hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True, default=str).encode()).hexdigest()


def test_pipeline(config: Config) -> list[dict[str, Any]]:
    """The transforms of the test data loader (else of the validation one), as plain dicts.

    Raises:
        UserError: the config has neither.
    """
    for key in ("test_dataloader", "val_dataloader"):
        dataset = (config.get(key) or {}).get("dataset")
        while dataset:
            if dataset.get("pipeline"):
                return [dict(transform) for transform in dataset["pipeline"]]
            dataset = dataset.get("dataset")  # wrapped, as in RepeatDataset
    if config.get("test_pipeline"):
        return [dict(transform) for transform in config["test_pipeline"]]
    raise UserError(
        f"{config.filename} has no test_dataloader with a pipeline: it does not say how to feed the model"
    )


def find_transform(pipeline: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """The transform of that class name, or None."""
    return next((transform for transform in pipeline if type_name(transform) == name), None)


def input_size(config: Config) -> tuple[int, int] | None:
    """(width, height) of the network's input in pixels, where the test pipeline fixes one size for all."""
    for transform in test_pipeline(config):
        size = transform.get("input_size")
        if isinstance(size, list | tuple) and len(size) == 2:
            return int(size[0]), int(size[1])
    return None


def datasets_of(config: Config) -> list[dict[str, Any]]:
    """The datasets of the test, validation and training loaders, in this order, as far as there are any."""
    loaders = (config.get(key) or {} for key in ("test_dataloader", "val_dataloader", "train_dataloader"))
    return [loader["dataset"] for loader in loaders if loader.get("dataset")]


def dataset_of(config: Config) -> Mapping[str, Any] | None:
    """The first of `datasets_of`, or None."""
    return next(iter(datasets_of(config)), None)


def _take_in_metainfo(dataset: dict[str, Any], folder: Path) -> None:
    # MMPose looks for the file in the current directory, which workers elsewhere do not share, and then among
    # its own. Taken in, it counts for the config's hash.
    name = (dataset.get("metainfo") or {}).get("from_file")
    if name is None or not (folder / name).is_file():
        return
    described = _read(folder / name).get("dataset_info")
    if described is None:
        raise UserError(f"{folder / name} describes no skeleton: it defines no `dataset_info = dict(...)`")
    dataset["metainfo"] = described


def _read(path: Path) -> Config:
    from mmengine.config import Config
    from mmengine.config.utils import ConfigParsingError

    if not path.is_file():
        raise UserError(f"config not found: {path}" + (" is a folder" if path.is_dir() else ""))
    try:
        return Config.fromfile(str(path))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a Python config: {_first_line(error)}") from None
    except FileNotFoundError as error:
        raise UserError(f"{path} inherits from a config that is not there: {_first_line(error)}") from None
    except (ConfigParsingError, OSError) as error:
        raise UserError(f"{path} cannot be read as a config: {_first_line(error)}") from None
    except Exception as error:  # noqa: BLE001 - a config is a program and can raise anything
        raise UserError(
            f"{path} is not a usable config: {type(error).__name__}: {_first_line(error)}"
        ) from None


def _scope_of(model: Mapping[str, Any]) -> str | None:
    kind = model["type"]
    if isinstance(kind, type):
        return kind.__module__.partition(".")[0]
    return str(kind).partition(".")[0] if "." in str(kind) else None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
