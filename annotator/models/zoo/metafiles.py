"""What the metafiles in the wheels of mmpose and mmdet say of a model, whichever way each of them says it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from annotator.errors import UserError

# Names in `Architecture` that are not the backbone.
_NOT_BACKBONES = frozenset(
    {"UDP", "DARK", "SimpleBaseline2D", "RLE", "DeepPose", "SimCC", "DSNT", "IPR", "Debias", "ED-Pose"}
)
_BACKBONES = (  # from the config's name, for collections whose metafile names the method only
    ("vitpose-huge", "ViT-H"), ("vitpose-large", "ViT-L"), ("vitpose-base", "ViT-B"),
    ("vitpose-small", "ViT-S"),
    ("rtmpose", "CSPNeXt"), ("rtmw", "CSPNeXt"), ("cspnext", "CSPNeXt"), ("rtmo", "CSPDarknet"),
    ("yoloxpose", "CSPDarknet"), ("litehrnet", "LiteHRNet"), ("hrnetv2-w18", "HRNetV2-W18"),
    ("hrnet-w48", "HRNet-W48"), ("hrnet-w32", "HRNet-W32"), ("resnext", "ResNeXt"),
    ("resnetv1d", "ResNetV1D"),
    ("res50", "ResNet-50"), ("res101", "ResNet-101"), ("res152", "ResNet-152"), ("swin", "Swin"),
    ("pvtv2", "PVTv2"), ("pvt", "PVT"), ("mobilenetv2", "MobileNetV2"), ("hourglass", "Hourglass-52"),
    ("hrformer", "HRFormer"), ("vipnas", "ViPNAS"), ("scnet", "SCNet"), ("seresnet", "SEResNet"),
    ("shufflenetv2", "ShuffleNetV2"), ("shufflenetv1", "ShuffleNetV1"), ("mspn", "MSPN"), ("rsn", "RSN"),
    ("cpm", "CPM"), ("alexnet", "AlexNet"), ("vgg", "VGG"), ("resnest", "ResNeSt"),
    ("rtmdet", "CSPNeXt"), ("yolox", "CSPDarknet"), ("_r50", "ResNet-50"), ("_r101", "ResNet-101"),
    ("_r18", "ResNet-18"), ("_x101", "ResNeXt-101"),
)  # fmt: skip


def folder_of(package: str) -> Path:
    """Where a package keeps its configs and metafiles. Raises UserError if it is not installed."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(f"{package} is not installed: run `make setup`")
    return Path(spec.origin).parent / ".mim"


def models_of(package: str) -> Iterator[dict[str, Any]]:
    """The models of a package's index whose config is there, as its metafiles have them.

    Raises:
        UserError: the package is not installed, or not from its wheel.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    root = folder_of(package)
    index = root / "model-index.yml"
    if not index.is_file():
        raise UserError(
            f"{package} lacks its model index ({index}): install it from its wheel, as `make setup` does"
        )
    for relative in yaml.load(index.read_text(encoding="utf-8"), Loader=loader)["Import"]:
        path = root / relative
        if not path.is_file():
            continue
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
        models = content if isinstance(content, list) else (content or {}).get("Models") or []
        for model in models:
            if model.get("Config") and (root / model["Config"]).is_file():
                yield model


def results_of(model: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Published metrics by dataset."""
    results: dict[str, dict[str, float]] = {}
    for result in model.get("Results") or ():
        metrics = result.get("Metrics") or {}
        numbers = {str(key): float(value) for key, value in metrics.items() if isinstance(value, int | float)}
        if numbers:
            results.setdefault(str(result.get("Dataset", "")), {}).update(numbers)
    return results


def training_data_of(model: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of datasets."""
    data = (model.get("Metadata") or {}).get("Training Data") or ()
    return (data,) if isinstance(data, str) else tuple(str(name) for name in data)


def url_of(model: Mapping[str, Any]) -> str | None:
    """Address of the official weights."""
    weights = model.get("Weights")
    if isinstance(weights, list):
        weights = weights[0] if weights else None
    return str(weights) if weights else None


def backbone_of(name: str, model: Mapping[str, Any]) -> str:
    """The backbone by the config's name, else as the metafile has it; "" if neither says."""
    for part, backbone in _BACKBONES:
        if part in name.lower():
            return backbone
    architecture = (model.get("Metadata") or {}).get("Architecture") or ()
    names = [architecture] if isinstance(architecture, str) else [str(part) for part in architecture]
    return next((part for part in names if part not in _NOT_BACKBONES), "")


def input_size_of(name: str) -> tuple[int, int] | None:
    """(width, height) by the config's name, where it is height x width; a single number is square."""
    match = re.search(r"-(\d{3,4})x(\d{3,4})(?!\d)", name)
    if match:
        return int(match.group(2)), int(match.group(1))
    match = re.search(r"-(\d{3})$", name)
    return (int(match.group(1)), int(match.group(1))) if match else None
