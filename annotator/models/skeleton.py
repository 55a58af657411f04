"""Which skeleton a model's keypoints have: from its config's dataset, else from its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from annotator.errors import UserError
from annotator.models.openmmlab import mmlab
from annotator.models.openmmlab.configs import datasets_of, load_model_config, type_name
from annotator.models.weights.loading import load_checkpoint
from annotator.skeletons import Skeleton, from_dataset_meta

if TYPE_CHECKING:
    from mmengine.config import Config

    from annotator.models.sources import ModelSource

# OKS constant of joints for which none is published; those of COCO's body lie between 0.025 (eyes) and 0.107
# (hips).
UNKNOWN_SIGMA = 0.05


def check_skeleton(source: ModelSource) -> None:
    """Make sure that a pose model has a skeleton, without building it.

    Raises:
        UserError: as of `skeleton_of`.
    """
    config = load_model_config(source.config_path, "pose")
    try:
        skeleton_of(config, {}, source.config_path)
    except UserError:
        if source.weights_path is None:
            raise
        # Read only where needed: it may hold gigabytes.
        skeleton_of(config, load_checkpoint(source.weights_path, source.sha256).meta, source.config_path)


def skeleton_of(config: Config, meta: Mapping[str, Any], path: str) -> Skeleton:
    """The skeleton of a pose model.

    Args:
        config: the model's.
        meta: the notes of its checkpoint.
        path: of the config, for messages.

    Raises:
        UserError: neither describes a skeleton of as many keypoints as the network gives.
    """
    keypoints, problems = _keypoints_of(config.model), []
    # A model trained on a larger skeleton than it is tested on has the outputs of the larger one.
    places: list[tuple[str, Callable[[], Mapping[str, Any] | None]]] = [
        ("the config's dataset", partial(_from_dataset, dataset)) for dataset in datasets_of(config)
    ]
    for place, find in [*places, ("the checkpoint", lambda: meta)]:
        try:
            info = find() or {}
            described = info.get("dataset_meta") or info
            if "keypoint_id2name" not in described:
                continue
            skeleton = _as_written(from_dataset_meta(_with_sigmas(described)))
        except (AssertionError, AttributeError, KeyError, ValueError, TypeError, OSError) as error:
            problems.append(f"{place}: {type(error).__name__}: {error}")
            continue
        if keypoints is None or len(skeleton) == keypoints:
            return skeleton
        problems.append(f"{place} names {len(skeleton)} keypoints")
    wanted = f"{keypoints} keypoints" if keypoints else "keypoints"
    raise UserError(
        f"{path}: no skeleton for the {wanted} of this model"
        + (f" ({'; '.join(dict.fromkeys(problems))})" if problems else "")
        + ": give the test dataset a metainfo, as in `metainfo=dict(from_file='my_dataset.py')`, a file "
        "beside the config that defines dataset_info with dataset_name, keypoint_info, skeleton_info, "
        "joint_weights and sigmas"
    )


def _keypoints_of(model: Mapping[str, Any]) -> int | None:
    """How many keypoints a network gives; None where its config does not say."""
    head = model["head"]
    head = head.get("pose_cfg", head)
    codec = head.get("decoder") or {}
    codec = codec if isinstance(codec, Mapping) else codec[-1]
    # Beside its heatmap a joint has a map of offsets in x, and one in y.
    maps = 3 if codec.get("heatmap_type") == "combined" else 1
    found = (head.get(key) for key in ("num_keypoints", "out_channels", "num_joints"))
    return next((count // maps for count in found if isinstance(count, int)), None)


def _with_sigmas(described: Mapping[str, Any]) -> Mapping[str, Any]:
    """The description with OKS constants, which many data sets lack: COCO-WholeBody's of a hand where joints
    have its names, else `UNKNOWN_SIGMA`.
    """
    if len(described["sigmas"]):
        return described
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    hand: Any = parse_pose_metainfo({"from_file": "configs/_base_/datasets/coco_wholebody_hand.py"})
    known = {name: hand["sigmas"][joint] for joint, name in hand["keypoint_id2name"].items()}
    names = described["keypoint_id2name"]
    sigmas = [float(known.get(names[joint], UNKNOWN_SIGMA)) for joint in range(len(names))]
    return {**described, "sigmas": sigmas}


def _as_written(skeleton: Skeleton) -> Skeleton:
    # MMPose keeps sigmas in float32: 0.026 would come out as 0.026000000536.
    return replace(skeleton, sigmas=tuple(float(f"{sigma:.6g}") for sigma in skeleton.sigmas))


def subset(skeleton: Skeleton, kept: Sequence[int]) -> Skeleton:
    """The skeleton of some of its joints, in the order given; edges and mirror partners among them stay."""
    new = {old: i for i, old in enumerate(kept)}
    return Skeleton(
        name=skeleton.name,
        keypoints=tuple(skeleton.keypoints[old] for old in kept),
        edges=tuple((new[a], new[b]) for a, b in skeleton.edges if a in new and b in new),
        flip_indices=tuple(new.get(skeleton.flip_indices[old], i) for i, old in enumerate(kept)),
        sigmas=tuple(skeleton.sigmas[old] for old in kept),
    )


def _from_dataset(dataset: Mapping[str, Any]) -> Mapping[str, Any] | None:
    mmlab.prepare()
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    info = dataset.get("metainfo")
    if info is None:
        from mmpose.registry import DATASETS

        class_ = DATASETS.get(f"mmpose.{type_name(dataset)}")
        info = getattr(class_, "METAINFO", None)
    return parse_pose_metainfo(dict(info)) if info else None
