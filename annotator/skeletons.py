"""Skeletons: what the joints are called, how they connect, mirror, and how precisely people place them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A set of K joints.

    Attributes:
        name: for people and for file metadata, e.g. "coco".
        keypoints: K joint names in the model's output order.
        edges: pairs of joint indices (0-based) to draw.
        flip_indices: K indices; joint i of the mirrored picture is joint `flip_indices[i]`.
        sigmas: K OKS constants, as COCO defines them (per-joint deviation over object scale, halved).
    """

    name: str
    keypoints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    flip_indices: tuple[int, ...]
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        k = len(self.keypoints)
        if not k == len(self.flip_indices) == len(self.sigmas):
            raise ValueError(
                f"skeleton {self.name!r}: {k} joints but {len(self.flip_indices)} flip indices "
                f"and {len(self.sigmas)} sigmas"
            )
        if sorted(self.flip_indices) != list(range(k)):
            raise ValueError(f"skeleton {self.name!r}: flip_indices must be a permutation of the joints")
        if any(not 0 <= joint < k for edge in self.edges for joint in edge):
            raise ValueError(f"skeleton {self.name!r}: an edge names a joint that does not exist")

    def __len__(self) -> int:
        return len(self.keypoints)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form, as it stands in file metadata."""
        return {
            "name": self.name,
            "keypoints": list(self.keypoints),
            "edges": [list(edge) for edge in self.edges],
            "flip_indices": list(self.flip_indices),
            "sigmas": list(self.sigmas),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Skeleton:
        """The inverse of `to_dict`."""
        return cls(
            name=str(data["name"]),
            keypoints=tuple(data["keypoints"]),
            edges=tuple((int(a), int(b)) for a, b in data["edges"]),
            flip_indices=tuple(int(i) for i in data["flip_indices"]),
            sigmas=tuple(float(s) for s in data["sigmas"]),
        )


def from_dataset_meta(meta: Mapping[str, Any]) -> Skeleton:
    """A skeleton from MMPose's parsed metainfo (`parse_pose_metainfo`, or a checkpoint's `dataset_meta`).

    Raises:
        KeyError: when names, flip indices or sigmas are missing.
        ValueError: when they contradict each other.
    """
    names = meta["keypoint_id2name"]
    k = len(names)
    return Skeleton(
        name=str(meta.get("dataset_name", "custom")),
        keypoints=tuple(str(names[i]) for i in range(k)),
        edges=tuple((int(a), int(b)) for a, b in meta.get("skeleton_links") or ()),
        flip_indices=tuple(int(i) for i in meta["flip_indices"]),
        sigmas=tuple(float(s) for s in meta["sigmas"]),
    )


# Names, edges and sigmas as published with COCO's person keypoints and pycocotools' `Params.kpt_oks_sigmas`.
COCO_17 = Skeleton(
    name="coco",
    keypoints=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
        "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
        "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    edges=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
        (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
    flip_indices=(0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15),
    sigmas=(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062,
            0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)  # fmt: skip
