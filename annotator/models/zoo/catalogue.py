"""Every model by name: configs, weights and published figures, from what the mmpose and mmdet wheels ship."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotator.errors import UserError
from annotator.models import demo
from annotator.models.zoo.metafiles import (
    backbone_of,
    folder_of,
    input_size_of,
    models_of,
    results_of,
    training_data_of,
    url_of,
)

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
# What RTMO's "body7" stands for.
_BODY7 = ("AI Challenger", "COCO", "CrowdPose", "MPII", "sub-JHMDB", "Halpe", "PoseTrack18")

_TEACHER = "its config builds the teacher network as well, from files that do not come with it"
_TEXT = "it finds what a text asks for, and needs a language model"
# Families, by the folder of their configs, that are listed but cannot be run, and why.
_UNSUPPORTED = {
    "edpose": "its head has no counterpart here, and mmpose lacks a file that its config inherits",
    "glip": _TEXT,
    "grounding_dino": _TEXT,
    "lad": _TEACHER,
    "ld": _TEACHER,
}


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
        unsupported: why it cannot be run here; None where it can.
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
    unsupported: str | None = None

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
    for model in models_of("mmpose"):
        parts = Path(model["Config"]).parts
        if len(parts) < 4 or parts[1] not in _POSE_TASKS:
            continue
        name = _name(model, entries)
        if name is None:
            continue
        results, data = results_of(model), training_data_of(model)
        if parts[3] == "coco" and data == ("CrowdPose",):
            # The metafile of RTMO's COCO models repeats the data set of its CrowdPose models.
            results, data = {"COCO": results.pop("CrowdPose", {})}, ("COCO",)
        elif "body7" in name and data == ("CrowdPose",):
            # It names only the data set tested on for the model trained on all seven.
            data = _BODY7
        entries[name] = Entry(
            name=name,
            short_names=short.get(name, ()),
            kind="pose",
            task=_POSE_TASKS[parts[1]],
            paradigm=_PARADIGMS.get(parts[2], parts[2].replace("_", " ")),
            backbone=backbone_of(name, model),
            input_size=input_size_of(name),
            results=results,
            training_data=data,
            config=folder_of("mmpose") / model["Config"],
            url=url_of(model),
            unsupported=_UNSUPPORTED.get(parts[2]),
        )
    entries[demo.POSE.name] = _shipped(demo.POSE, "pose", "body", "top-down heatmap", "small HRNet")
    return entries


@functools.cache
def detectors() -> Mapping[str, Entry]:
    """MMPose's person detectors, then all of the installed mmdet's that were trained on COCO, by name."""
    entries = {}
    short = _inverted(DETECTOR_NAMES)
    for name, url, size, ap in _PERSON_DETECTORS:
        config = folder_of("mmpose") / "demo" / "mmdetection_cfg" / f"{name}.py"
        entries[name] = Entry(
            name, short.get(name, ()), "detector", "detection", "", "CSPNeXt", size,
            {"COCO (person)": {"box AP": ap}}, ("COCO", "Objects365"), config, url,
        )  # fmt: skip
    for model in models_of("mmdet"):
        results = {
            dataset: {key: value / 100 for key, value in metrics.items() if key == "box AP"}
            for dataset, metrics in results_of(model).items()
        }
        name = _name(model, entries)
        if name is None or not results.get("COCO"):
            continue
        entries[name] = Entry(
            name=name,
            short_names=short.get(name, ()),
            kind="detector",
            task="detection",
            paradigm="",
            backbone=backbone_of(name, model),
            input_size=input_size_of(name),
            results={"COCO": results["COCO"]},
            training_data=training_data_of(model) or ("COCO",),
            config=folder_of("mmdet") / model["Config"],
            url=url_of(model),
            unsupported=_UNSUPPORTED.get(Path(model["Config"]).parts[1]),
        )
    entries[demo.DETECTOR.name] = _shipped(demo.DETECTOR, "detector", "detection", "", "ResNet-18")
    return entries


def find(name: str) -> Entry:
    """The model, of either kind, of a short or full name. Raises UserError, with near names, if unknown."""
    return _find(name, {**pose_models(), **detectors()}, {**POSE_NAMES, **DETECTOR_NAMES}, "model", dict)


def find_pose(name: str) -> Entry:
    """The pose model of a short or full name. Raises UserError, with near names, for an unknown one."""
    return _find(name, pose_models(), POSE_NAMES, "pose model", detectors)


def find_detector(name: str) -> Entry:
    """The detector of a short or full name. Raises UserError, with near names, for an unknown one."""
    return _find(name, detectors(), DETECTOR_NAMES, "detector", pose_models)


def _find(
    name: str,
    entries: Mapping[str, Entry],
    short: Mapping[str, str],
    what: str,
    others: Callable[[], Mapping[str, Entry]],
) -> Entry:
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


def _shipped(model: demo.DemoModel, kind: str, task: str, paradigm: str, backbone: str) -> Entry:
    return Entry(
        model.name, (), kind, task, paradigm, backbone, model.input_size, {"synthetic people": model.figures},
        ("synthetic people",), model.config, None, weights=model.weights,
    )  # fmt: skip


def _name(model: Mapping[str, Any], taken: Mapping[str, Entry]) -> str | None:
    """The config file's stem: metafiles name several models alike. None for further weights."""
    name = Path(model["Config"]).stem
    return None if name in taken else name


def _inverted(names: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    inverse: dict[str, tuple[str, ...]] = {}
    for short, full in names.items():
        inverse[full] = (*inverse.get(full, ()), short)
    return inverse
