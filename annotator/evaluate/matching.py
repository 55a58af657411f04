"""Which image of a run is which image of the ground truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Matching:
    """How a run's images were found in the ground truth.

    Attributes:
        by: "id" or "file_name".
        gt_of: ground-truth image id by the run's image id; never two to one.
        unmatched: file names of the run's images that are not in the ground truth, or not clearly.
        not_in_run: how many images of the ground truth the run does not have.
        other_names: file names of images matched by id whose base name is another one in the ground truth.
    """

    by: str
    gt_of: dict[int, int]
    unmatched: tuple[str, ...]
    not_in_run: int
    other_names: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form, with the first few names."""
        return {
            "by": self.by,
            "matched": len(self.gt_of),
            "unmatched": len(self.unmatched),
            "unmatched_examples": list(self.unmatched[:EXAMPLES]),
            "gt_images_not_in_run": self.not_in_run,
            "other_names": len(self.other_names),
            "other_names_examples": list(self.other_names[:EXAMPLES]),
        }


def candidates(names: Mapping[int, str]) -> Callable[[int, str], bool]:
    """Tells which images of a ground truth can belong to a run, by (id, file name), before all are known.

    Args:
        names: file_name by image_id of the run.
    """
    bases = {_base(name) for name in names.values()}
    return lambda identifier, name: identifier in names or _base(name) in bases


def match_images(
    images: Iterable[tuple[int, str]] | Mapping[int, str],
    gt_names: Mapping[int, str],
    gt_images: int | None = None,
) -> Matching:
    """Match by id if every id of the run is in the ground truth (COCO input), else by file name.

    A file name matches the same relative path first, then the same base name if one image a side has it.
    Ids that happen to exist on both sides (two data sets numbered from 1) while no name agrees are not
    trusted if names find other pairs.

    Args:
        images: (image_id, file_name) of the run.
        gt_names: file_name by image id of the ground truth; those that `candidates` leaves out may be absent.
        gt_images: how many images the ground truth has, if more than `gt_names`.
    """
    names = dict(images)
    total = len(gt_names) if gt_images is None else gt_images
    by_name = _by_name(names, gt_names, total)
    if names and names.keys() <= gt_names.keys():
        others = tuple(name for i, name in names.items() if _base(name) != _base(gt_names[i]))
        if len(others) < len(names) or not by_name.gt_of:
            return Matching("id", {i: i for i in names}, (), total - len(names), others)
    return by_name


def _by_name(names: Mapping[int, str], gt_names: Mapping[int, str], total: int) -> Matching:
    gt_of = _pairs(names, gt_names, _path)
    taken = set(gt_of.values())
    for ours, theirs in _pairs(names, gt_names, _base).items():
        if ours not in gt_of and theirs not in taken:
            gt_of[ours] = theirs
    unmatched = tuple(name for i, name in names.items() if i not in gt_of)
    return Matching("file_name", gt_of, unmatched, total - len(gt_of))


def _path(name: str) -> str:
    return str(PurePosixPath(name.replace("\\", "/")))


def _base(name: str) -> str:
    return PurePosixPath(_path(name)).name


def _pairs(
    names: Mapping[int, str], gt_names: Mapping[int, str], key: Callable[[str], str]
) -> dict[int, int]:
    """Ids whose key exactly one image on each side has."""
    ours, theirs = _ids_by_key(names, key), _ids_by_key(gt_names, key)
    return {
        ids[0]: theirs[name][0]
        for name, ids in ours.items()
        if len(ids) == 1 and len(theirs.get(name, ())) == 1
    }


def _ids_by_key(names: Mapping[int, str], key: Callable[[str], str]) -> dict[str, list[int]]:
    ids: dict[str, list[int]] = defaultdict(list)
    for identifier, name in names.items():
        ids[key(name)].append(identifier)
    return ids
