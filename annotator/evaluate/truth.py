"""Ground truth of a run's images, read from a COCO file of any size; what the run lacks is passed over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ijson
import numpy as np

from annotator.errors import UserError
from annotator.evaluate.matching import Matching, candidates, match_images
from annotator.sources.coco_json import integer_id

_EXAMPLES = 3

# COCO-WholeBody's lists of a person's joints, in the order of its skeleton, and how many each holds.
_WHOLE_BODY = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
_BEYOND_THE_BODY = tuple(_WHOLE_BODY)[1:]


@dataclass(frozen=True, slots=True)
class TruePeople:
    """The people of one image as they were labelled: N people, K joints.

    Attributes:
        bboxes: (N, 4) float64, [x, y, w, h] in pixels of the image.
        areas: (N,) float64, square pixels: the s^2 of OKS.
        keypoints: (N, K, 3) float64, x, y, v; v = 0 where the joint is not labelled.
        num_keypoints: (N,) int64 as the file says (of COCO-WholeBody's, which counts the body's only: all
            that are labelled); a person with 0 counts neither as found nor as missed.
        crowd: (N,) bool, groups that were labelled as one.
    """

    bboxes: np.ndarray
    areas: np.ndarray
    keypoints: np.ndarray
    num_keypoints: np.ndarray
    crowd: np.ndarray

    def __len__(self) -> int:
        return len(self.areas)

    @property
    def counted(self) -> np.ndarray:
        """(N,) bool: people that keypoint AP asks for; COCO ignores crowds and those without joints."""
        return (self.num_keypoints > 0) & ~self.crowd

    @classmethod
    def none(cls, joints: int) -> TruePeople:
        """Nobody."""
        return cls(
            np.zeros((0, 4)),
            np.zeros(0),
            np.zeros((0, joints, 3)),
            np.zeros(0, np.int64),
            np.zeros(0, bool),
        )


@dataclass(frozen=True, slots=True)
class Truth:
    """The part of a COCO file that a run can be judged by.

    Attributes:
        matching: which image of the run is which of the file.
        people: by image id of the file; images without anybody are not in it.
        joints: K.
        joint_names: of the category in the file; empty where it does not say.
    """

    matching: Matching
    people: dict[int, TruePeople]
    joints: int
    joint_names: tuple[str, ...] = ()

    def of(self, image: int) -> TruePeople:
        """The people of an image of the file."""
        return self.people.get(image) or TruePeople.none(self.joints)


def read_truth(path: str | Path, images: Iterable[tuple[int, str]], joints: int) -> Truth:
    """Read the people of a run's images; memory grows with the run, not with the file.

    `area`, `iscrowd` and `num_keypoints` that are left out or null are filled in from `bbox` and `keypoints`.

    Args:
        images: (image_id, file_name) of the run.
        joints: K of the run's skeleton; with 133, COCO-WholeBody's five lists are read as one.

    Raises:
        UserError: unreadable, not COCO, without keypoints, with another number of joints or a value that is
            no number, or none of its images is in the run.
    """
    names = dict(images)
    wanted = candidates(names)
    total, found, examples = 0, {}, []
    for image in _items(path, "images.item"):
        identifier, name = _field(image, "id", path), str(_field(image, "file_name", path))
        identifier = integer_id(identifier, f"{path}: image {name}")
        total += 1
        if wanted(identifier, name):
            found[identifier] = name
        if len(examples) < _EXAMPLES:
            examples.append(name)
    category, joint_names = _person_category(path, total)
    matching = match_images(names, found, total)
    if not matching.gt_of:
        raise UserError(
            f"no image of the run is in {path}: neither ids nor file names agree "
            f"(the run has {', '.join(matching.unmatched[:_EXAMPLES])}; the ground truth has "
            f"{', '.join(examples)})"
        )
    people = _people(path, set(matching.gt_of.values()), category, joints)
    return Truth(matching, people, joints, joint_names)


def _people(path: str | Path, images: set[int], category: int, joints: int) -> dict[int, TruePeople]:
    rows: dict[int, list[tuple]] = {}
    labelled = False
    for annotation in _items(path, "annotations.item"):
        of_category = _field(annotation, "category_id", path)
        where = f"{path}: annotation {annotation.get('id')}"
        if integer_id(of_category, where, "a category id") != category:
            continue
        labelled = labelled or bool(annotation.get("keypoints"))
        image = integer_id(_field(annotation, "image_id", path), where)
        if image in images:
            rows.setdefault(image, []).append(_person(annotation, path, joints, where))
    if not labelled:
        raise UserError(f"{path} has no keypoints: COCO's files with them are named person_keypoints_*.json")
    return {image: _together(of_image) for image, of_image in rows.items()}


def _person(annotation: dict[str, Any], path: str | Path, joints: int, where: str) -> tuple:
    bbox = _numbers(_field(annotation, "bbox", path))
    if bbox is None or len(bbox) != 4:
        raise UserError(f"{where}: bbox is {annotation['bbox']!r}; expected [x, y, width, height] in pixels")
    areas = bbox[2:3] * bbox[3] if annotation.get("area") is None else _numbers([annotation["area"]])
    if areas is None:
        raise UserError(f"{where}: area is {annotation['area']!r}; expected square pixels, or none at all")
    parts = {"keypoints": joints}
    if joints == sum(_WHOLE_BODY.values()) and any(name in annotation for name in _BEYOND_THE_BODY):
        parts = _WHOLE_BODY
    xyv = np.concatenate([_joints(annotation, *part, joints, where) for part in parts.items()])
    count = annotation.get("num_keypoints") if len(parts) == 1 else None
    return (
        bbox,
        areas[0],
        xyv,
        (xyv[:, 2] > 0).sum() if count is None else integer_id(count, where, "a number of keypoints"),
        bool(annotation.get("iscrowd", 0)),
    )


def _joints(annotation: dict[str, Any], name: str, count: int, joints: int, where: str) -> np.ndarray:
    """One list of joints as (count, 3) x, y, v; all zero, not labelled, where there is none."""
    values = annotation.get(name) or [0] * (3 * count)
    numbers = _numbers(values)
    if numbers is None:
        raise UserError(f"{where}: {name} are {values!r}; expected [x1, y1, v1, ...]")
    if len(numbers) != 3 * count:
        raise UserError(
            f"{where}: {name} are of {len(numbers) / 3:g} joints, not {count}; "
            f"this run's skeleton has {joints}. Evaluate against ground truth of the same skeleton"
        )
    return numbers.reshape(-1, 3)


def _numbers(values: Any) -> np.ndarray | None:
    """A list of numbers as (N,) float64; None for anything else."""
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError):
        return None
    # A null among numbers is NaN here.
    return array if array.ndim == 1 and np.isfinite(array).all() else None


def _together(people: list[tuple]) -> TruePeople:
    bboxes, areas, keypoints, numbers, crowd = zip(*people, strict=True)
    return TruePeople(
        np.array(bboxes),
        np.array(areas, np.float64),
        np.array(keypoints),
        np.array(numbers, np.int64),
        np.array(crowd, bool),
    )


def _person_category(path: str | Path, images: int) -> tuple[int, tuple[str, ...]]:
    """Id of the category called person, or else of the only one there is, and the names of its joints."""
    categories = list(_items(path, "categories.item"))
    if not categories or not images:
        missing = " and ".join(n for n, some in (("images", images), ("categories", categories)) if not some)
        raise UserError(
            f"{path} is not a COCO ground truth: it needs lists named images, annotations and categories, "
            f"and has no {missing}"
        )
    named = [category for category in categories if category.get("name") == "person"]
    among = named or [category for category in categories if category.get("keypoints")] or categories
    if len(among) != 1:
        names = ", ".join(str(category.get("name")) for category in categories)
        raise UserError(f"{path}: which category is the person? One must be called so; there are {names}")
    identifier = integer_id(_field(among[0], "id", path), f"{path}: categories", "a category id")
    return identifier, tuple(among[0].get("keypoints") or ())


def _field(entry: Any, name: str, path: str | Path) -> Any:
    try:
        return entry[name]
    except (KeyError, TypeError):
        raise UserError(f"{path} is not a COCO ground truth: an entry lacks '{name}'") from None


def _items(path: str | Path, prefix: str) -> Iterator[dict[str, Any]]:
    """The entries of one list of the file, one in memory at a time."""
    try:
        with Path(path).open("rb") as file:
            _skip_byte_order_mark(file)
            yield from ijson.items(file, prefix, use_float=True, buf_size=1 << 18)
    except OSError as error:
        raise UserError(f"cannot read the ground truth {path}: {error.strerror}") from None
    except (ijson.JSONError, ValueError) as error:
        raise UserError(f"{path} is not JSON: {' '.join(str(error).split())}") from None


def _skip_byte_order_mark(file: IO[bytes]) -> None:
    if file.read(3) != b"\xef\xbb\xbf":
        file.seek(0)
