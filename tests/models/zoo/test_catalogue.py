"""The catalogue is what the installed wheels say."""

from __future__ import annotations

import pytest

from annotator.errors import UserError
from annotator.models.openmmlab.configs import load_model_config, type_name
from annotator.models.sources import resolve_detector, resolve_pose
from annotator.models.weights.fetch import file_name, sha256_prefix
from annotator.models.whole_image.heads import FAMILIES
from annotator.models.zoo import catalogue
from annotator.pose.decoding import make_decoder


def test_every_expected_name_leads_to_a_config_and_weights() -> None:
    for name in catalogue.POSE_NAMES:
        entry = catalogue.find_pose(name)
        assert entry.config.is_file() and entry.url and name in entry.short_names, name
    for name in catalogue.DETECTOR_NAMES:
        entry = catalogue.find_detector(name)
        assert entry.config.is_file() and entry.url and sha256_prefix(file_name(entry.url)), name


# Checkpoints that OpenMMLab published without a hash in their names.
WITHOUT_HASH = {
    "edpose_res50_coco_3rdparty.pth",
    "rtmw-dw-l-m_simcc-cocktail14_270e-256x192-20231122.pth",
    "rtmw-dw-x-l_simcc-cocktail14_270e-256x192-20231122.pth",
    "rtmw-dw-x-l_simcc-cocktail14_270e-384x288-20231122.pth",
    "td-hm_hrnet-w32_8xb64-210e_exlpose-ll-256x192.pth",
}


def test_every_checkpoint_is_checked_by_the_hash_in_its_name_and_never_by_its_date() -> None:
    entries = [*catalogue.pose_models().values(), *catalogue.detectors().values()]
    names = {file_name(entry.url) for entry in entries if entry.url and entry.url.startswith("http")}
    assert len(names) > 700
    prefixes = {name: sha256_prefix(name) for name in names}
    assert {name for name, prefix in prefixes.items() if prefix is None} == WITHOUT_HASH & names
    dates = {
        name for name, prefix in prefixes.items() if prefix and prefix.startswith("20") and prefix.isdigit()
    }
    assert not dates


def test_figures_come_from_the_metafiles() -> None:
    entry = catalogue.find_pose("vitpose-h")
    assert entry.ap == 0.788 and entry.input_size == (192, 256) and entry.training_data == ("COCO",)
    assert entry.paradigm == "top-down heatmap" and entry.backbone == "ViT-H" and entry.task == "body"
    assert entry.url is not None and entry.url.endswith("e32adcd4_20230314.pth")
    assert catalogue.find_pose("rtmo-l").paradigm == "one-stage"
    assert catalogue.find_pose("dekr-w48").paradigm == "bottom-up"
    assert catalogue.find_pose("deeppose-rle").paradigm == "top-down coordinate"
    assert catalogue.find_pose("wholebody").task == "wholebody" and catalogue.find_pose("hand").task == "hand"
    assert catalogue.find_detector("faster-rcnn").ap == pytest.approx(0.374)


def test_every_entry_is_complete() -> None:
    assert len(catalogue.pose_models()) > 250 and len(catalogue.detectors()) > 150
    for name, entry in {**catalogue.pose_models(), **catalogue.detectors()}.items():
        assert entry.name == name and entry.config.stem == name and entry.config.is_file()
    for entry in catalogue.pose_models().values():
        assert entry.backbone and entry.input_size and entry.training_data and entry.results, entry.name


@pytest.mark.parametrize(
    ("find", "name", "message"),
    [
        (catalogue.find_pose, "vitpos-h", "did you mean vitpose-h"),
        (catalogue.find_pose, "zzz", "known are vitpose-h"),
        (catalogue.find_detector, "rtmdet-l-nano", "rtmdet-nano"),
        (catalogue.find_pose, "rtmdet-m", "is a detector"),
        (catalogue.find_detector, "vitpose-h", "is a pose model"),
        (catalogue.find, "rtmdt-m", "unknown model 'rtmdt-m': did you mean rtmdet-m"),
        (catalogue.find, "vitpos-h", "did you mean vitpose-h"),
    ],
)
def test_unknown_names(find, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find(name)


def test_both_lists_are_searched() -> None:
    assert catalogue.find("RTMDet-m") is catalogue.find_detector("rtmdet-m")
    assert catalogue.find("rtmo-l") is catalogue.find_pose("rtmo-l")


def test_every_config_can_be_read_and_its_head_run_or_says_why_not() -> None:
    """One of each folder of configs: those beside it inherit from the same files."""
    entries = (*catalogue.pose_models().values(), *catalogue.detectors().values())
    of_each = {entry.config.parent: entry for entry in reversed(entries)}
    assert len(of_each) > 100
    for entry in of_each.values():
        if entry.unsupported is not None:
            continue
        config = load_model_config(entry.config, "pose" if entry.kind == "pose" else "detector")
        if entry.kind == "detector":
            continue
        head = config.model["head"]
        if type_name(config.model) == "BottomupPoseEstimator":
            assert type_name(head) in FAMILIES, entry.name
        else:
            make_decoder(head["decoder"], head)


@pytest.mark.parametrize("family", ["edpose", "glip", "grounding_dino", "lad", "ld"])
def test_what_cannot_be_run_says_why(family: str) -> None:
    entries = (*catalogue.pose_models().values(), *catalogue.detectors().values())
    marked = [entry for entry in entries if family in entry.config.parts]
    assert marked and all(entry.unsupported for entry in marked)
    resolve = resolve_pose if marked[0].kind == "pose" else resolve_detector
    with pytest.raises(UserError, match=f"{marked[0].name} cannot be run here: {marked[0].unsupported}"):
        resolve(marked[0].name, "random")


def test_case_does_not_matter() -> None:
    assert catalogue.find_pose("ViTPose-H") is catalogue.find_pose("vitpose-h")
