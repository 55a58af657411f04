"""Every model by name: configs, weights and published figures, from what the mmpose and mmdet wheels ship."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from annotator.errors import UserError
from annotator.models import demo

# What people type -> the config's own name. Where the zoo has several of a kind, the survey's choice.
POSE_NAMES: Mapping[str, str] = {
    "vitpose-h": "td-hm_ViTPose-huge_8xb64-210e_coco-256x192",
    "vitpose-l": "td-hm_ViTPose-large_8xb64-210e_coco-256x192",
    "vitpose-b": "td-hm_ViTPose-base_8xb64-210e_coco-256x192",
    "vitpose-s": "td-hm_ViTPose-small_8xb64-210e_coco-256x192",
    "hrnet-w48-udp": "td-hm_hrnet-w48_udp-8xb32-210e_coco-384x288",
    "hrnet-w48": "td-hm_hrnet-w48_8xb32-210e_coco-256x192",
    "hrnet-w48-dark": "td-hm_hrnet-w48_dark-8xb32-210e_coco-384x288",
    "hrnet-w32": "td-hm_hrnet-w32_8xb64-210e_coco-256x192",
    "hrnet-w32-udp": "td-hm_hrnet-w32_udp-8xb64-210e_coco-256x192",
    "rtmpose-l-384": "rtmpose-l_8xb256-420e_aic-coco-384x288",
    "rtmpose-l": "rtmpose-l_8xb256-420e_aic-coco-256x192",
    "rtmpose-m": "rtmpose-m_8xb256-420e_aic-coco-256x192",
    "rtmpose-s": "rtmpose-s_8xb256-420e_aic-coco-256x192",
    "rtmpose-t": "rtmpose-t_8xb256-420e_aic-coco-256x192",
    "swin-l": "td-hm_swin-l-p4-w7_8xb32-210e_coco-384x288",
    "swin-b": "td-hm_swin-b-p4-w7_8xb32-210e_coco-256x192",
    "res152": "td-hm_res152_8xb32-210e_coco-256x192",
    "res101": "td-hm_res101_8xb64-210e_coco-256x192",
    "res50": "td-hm_res50_8xb64-210e_coco-256x192",
    "resnext101": "td-hm_resnext101_8xb64-210e_coco-256x192",
    "litehrnet-30": "td-hm_litehrnet-30_8xb64-210e_coco-256x192",
    "litehrnet-18": "td-hm_litehrnet-18_8xb64-210e_coco-256x192",
    "mobilenetv2": "td-hm_mobilenetv2_8xb64-210e_coco-256x192",
    "hourglass": "td-hm_hourglass52_8xb32-210e_coco-256x256",
    "hrformer": "td-hm_hrformer-base_8xb32-210e_coco-256x192",
    "deeppose": "td-reg_res50_8xb64-210e_coco-256x192",
    "deeppose-rle": "td-reg_res50_rle-8xb64-210e_coco-256x192",
    "integral": "ipr_res50_8xb64-210e_coco-256x256",
    "simcc": "simcc_res50_8xb64-210e_coco-256x192",
    "rtmo-l": "rtmo-l_16xb16-600e_coco-640x640",
    "rtmo-m": "rtmo-m_16xb16-600e_coco-640x640",
    "rtmo-s": "rtmo-s_8xb32-600e_coco-640x640",
    "dekr-w48": "dekr_hrnet-w48_8xb10-140e_coco-640x640",
    "dekr-w32": "dekr_hrnet-w32_8xb10-140e_coco-512x512",
    "yoloxpose-l": "yoloxpose_l_8xb32-300e_coco-640",
    "yoloxpose-s": "yoloxpose_s_8xb32-300e_coco-640",
    "cid-w48": "cid_hrnet-w48_8xb20-140e_coco-512x512",
    "ae-w32": "ae_hrnet-w32_8xb24-300e_coco-512x512",
    "wholebody": "rtmw-l_8xb320-270e_cocktail14-384x288",
    "halpe26": "rtmpose-l_8xb512-700e_body8-halpe26-384x288",
    "hand": "rtmpose-m_8xb256-210e_hand5-256x256",
}
DETECTOR_NAMES: Mapping[str, str] = {
    "rtmdet-m": "rtmdet_m_640-8xb32_coco-person",
    "rtmdet-nano": "rtmdet_nano_320-8xb32_coco-person",
    "rtmdet-tiny": "rtmdet_tiny_8xb32-300e_coco",
    "faster-rcnn": "faster-rcnn_r50_fpn_1x_coco",
    "yolox-s": "yolox_s_8xb8-300e_coco",
}

_POSE_TASKS = {"body_2d_keypoint": "body", "wholebody_2d_keypoint": "wholebody", "hand_2d_keypoint": "hand"}
_PARADIGMS = {
    "topdown_heatmap": "top-down heatmap",
    "rtmpose": "top-down coordinate",
    "simcc": "top-down coordinate",
    "topdown_regression": "top-down coordinate",
    "integral_regression": "top-down coordinate",
    "dwpose": "top-down coordinate",
    "associative_embedding": "bottom-up",
    "dekr": "bottom-up",
    "cid": "one-stage",
    "rtmo": "one-stage",
    "yoloxpose": "one-stage",
    "edpose": "one-stage",
}
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


@dataclass(frozen=True, slots=True)
class Entry:
    """One model that can be named.

    Attributes:
        name: the config's own name, unique.
        short_names: what people type.
        kind: "pose" or "detector".
        task: "body", "wholebody" or "hand"; "detection" for detectors.
        paradigm: how it goes from pixels to keypoints ("top-down heatmap", ...); "" for detectors.
        backbone: name of the network, as far as it is known.
        input_size: (width, height) in pixels, or None.
        results: published metrics by dataset, e.g. {"COCO": {"AP": 0.79}}; box AP of detectors likewise.
        training_data: names of datasets.
        config: file in the installed wheel.
        url: address of the official weights, or None.
        weights: file of weights that ships with the project, or None.
        license: of code and weights; images and annotations trained on have their own.
    """

    name: str
    short_names: tuple[str, ...]
    kind: str
    task: str
    paradigm: str
    backbone: str
    input_size: tuple[int, int] | None
    results: Mapping[str, Mapping[str, float]]
    training_data: tuple[str, ...]
    config: Path
    url: str | None
    license: str = field(default="Apache-2.0")
    weights: Path | None = None

    @property
    def ap(self) -> float | None:
        """AP on the first dataset that reports one, in [0, 1]."""
        for metrics in self.results.values():
            for key in ("AP", "Whole AP", "box AP"):
                if key in metrics:
                    return metrics[key]
        return None


# Person detectors that MMPose documents for its top-down models; no metafile lists them. Weights and box AP
# (COCO val2017, person) are those of RTMPose's published table.
_PERSON_DETECTORS = (
    (
        "rtmdet_m_640-8xb32_coco-person",
        "https://download.openmmlab.com/mmpose/v1/projects/rtmpose/rtmdet_m_8xb32-100e_coco-obj365-person-235e8209.pth",
        (640, 640),
        0.625,
    ),
    (
        "rtmdet_nano_320-8xb32_coco-person",
        "https://download.openmmlab.com/mmpose/v1/projects/rtmpose/rtmdet_nano_8xb32-100e_coco-obj365-person-05d8511e.pth",
        (320, 320),
        0.403,
    ),
)


@functools.cache
def pose_models() -> Mapping[str, Entry]:
    """All 2D human pose models of the installed mmpose, by name, in the order of its index."""
    entries = {}
    short = _inverted(POSE_NAMES)
    for model in _metafile_models("mmpose"):
        parts = Path(model["Config"]).parts
        if len(parts) < 4 or parts[1] not in _POSE_TASKS:
            continue
        name = _name(model, entries)
        if name is None:
            continue
        results, data = _results(model), _training_data(model)
        if parts[3] == "coco" and data == ("CrowdPose",):
            # The metafile of RTMO's COCO models repeats the data set of its CrowdPose models.
            results, data = {"COCO": results.pop("CrowdPose", {})}, ("COCO",)
        entries[name] = Entry(
            name=name,
            short_names=short.get(name, ()),
            kind="pose",
            task=_POSE_TASKS[parts[1]],
            paradigm=_PARADIGMS.get(parts[2], parts[2].replace("_", " ")),
            backbone=_backbone(name, model),
            input_size=_input_size(name),
            results=results,
            training_data=data,
            config=_mim("mmpose") / model["Config"],
            url=_url(model),
        )
    entries[demo.POSE.name] = _shipped(demo.POSE, "pose", "body", "top-down heatmap", "ResNet-18")
    return entries


@functools.cache
def detectors() -> Mapping[str, Entry]:
    """MMPose's person detectors, then all of the installed mmdet's that were trained on COCO, by name."""
    entries = {}
    short = _inverted(DETECTOR_NAMES)
    for name, url, size, ap in _PERSON_DETECTORS:
        config = _mim("mmpose") / "demo" / "mmdetection_cfg" / f"{name}.py"
        entries[name] = Entry(
            name, short.get(name, ()), "detector", "detection", "", "CSPNeXt", size,
            {"COCO (person)": {"box AP": ap}}, ("COCO", "Objects365"), config, url,
        )  # fmt: skip
    for model in _metafile_models("mmdet"):
        results = {
            dataset: {key: value / 100 for key, value in metrics.items() if key == "box AP"}
            for dataset, metrics in _results(model).items()
        }
        name = _name(model, entries)
        if name is None or not results.get("COCO"):
            continue
        entries[name] = Entry(
            name, short.get(name, ()), "detector", "detection", "", _backbone(name, model), _input_size(name),
            {"COCO": results["COCO"]}, _training_data(model) or ("COCO",), _mim("mmdet") / model["Config"],
            _url(model),
        )  # fmt: skip
    entries[demo.DETECTOR.name] = _shipped(demo.DETECTOR, "detector", "detection", "", "ResNet-18")
    return entries


def find_pose(name: str) -> Entry:
    """The pose model of a short or full name. Raises UserError, with near names, for an unknown one."""
    return _find(name, pose_models(), POSE_NAMES, "pose model", detectors)


def find_detector(name: str) -> Entry:
    """The detector of a short or full name. Raises UserError, with near names, for an unknown one."""
    return _find(name, detectors(), DETECTOR_NAMES, "detector", pose_models)


def _find(name: str, entries: Mapping[str, Entry], short: Mapping[str, str], what: str, others: Any) -> Entry:
    entry = entries.get(short.get(name.lower(), name))
    if entry is not None:
        return entry
    spelled = {key.lower(): key for key in (*short, *entries)}
    if name.lower() in spelled:
        return entries[spelled[name.lower()]]
    other_names = {
        *others(),
        *(short_name for entry in others().values() for short_name in entry.short_names),
    }
    if name in other_names:
        other = "detector" if what == "pose model" else "pose model"
        raise UserError(f"{name} is a {other}; here a {what} is needed, such as {next(iter(short))}")
    near = difflib.get_close_matches(name.lower(), spelled, n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(spelled[key] for key in near)}?"
    raise UserError(
        f"unknown {what} {name!r}: {meant if near else 'known are ' + ', '.join(short)} "
        "(`annotator models list` shows all; a config file ends in .py)"
    )


def _mim(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(f"{package} is not installed: run `make setup`")
    return Path(spec.origin).parent / ".mim"


def _metafile_models(package: str) -> Iterator[dict[str, Any]]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    root = _mim(package)
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


def _shipped(model: demo.DemoModel, kind: str, task: str, paradigm: str, backbone: str) -> Entry:
    return Entry(
        model.name, (), kind, task, paradigm, backbone, model.input_size, {"synthetic people": model.figures},
        ("synthetic people",), model.config, None, weights=model.weights,
    )  # fmt: skip


def _name(model: Mapping[str, Any], taken: Mapping[str, Entry]) -> str | None:
    """The config file's stem: metafiles name several models alike. None for further weights."""
    name = Path(model["Config"]).stem
    return None if name in taken else name


def _results(model: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    results: dict[str, dict[str, float]] = {}
    for result in model.get("Results") or ():
        metrics = result.get("Metrics") or {}
        numbers = {str(key): float(value) for key, value in metrics.items() if isinstance(value, int | float)}
        if numbers:
            results.setdefault(str(result.get("Dataset", "")), {}).update(numbers)
    return results


def _training_data(model: Mapping[str, Any]) -> tuple[str, ...]:
    data = (model.get("Metadata") or {}).get("Training Data") or ()
    return (data,) if isinstance(data, str) else tuple(str(name) for name in data)


def _url(model: Mapping[str, Any]) -> str | None:
    weights = model.get("Weights")
    if isinstance(weights, list):
        weights = weights[0] if weights else None
    return str(weights) if weights else None


def _backbone(name: str, model: Mapping[str, Any]) -> str:
    for part, backbone in _BACKBONES:
        if part in name.lower():
            return backbone
    architecture = (model.get("Metadata") or {}).get("Architecture") or ()
    names = [architecture] if isinstance(architecture, str) else [str(part) for part in architecture]
    return next((part for part in names if part not in _NOT_BACKBONES), "")


def _input_size(name: str) -> tuple[int, int] | None:
    """Configs name their input as height x width; a single number is square."""
    match = re.search(r"-(\d{3,4})x(\d{3,4})(?!\d)", name)
    if match:
        return int(match.group(2)), int(match.group(1))
    match = re.search(r"-(\d{3})$", name)
    return (int(match.group(1)), int(match.group(1))) if match else None


def _inverted(names: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    inverse: dict[str, tuple[str, ...]] = {}
    for short, full in names.items():
        inverse[full] = (*inverse.get(full, ()), short)
    return inverse
