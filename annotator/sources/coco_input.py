"""COCO files as input: which pictures they name, and where those lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from annotator.errors import UserError
from annotator.locations import is_remote
from annotator.sources.coco_json import integer_id, load_coco, records
from annotator.uris import to_path

# So many of the first files are looked for in each candidate folder.
_PROBES = 100


def coco_images(path: str, image_root: str | None) -> tuple[str, Iterator[tuple[str, str, int]]]:
    """The pictures of a COCO file.

    Args:
        path: absolute path of the JSON file.
        image_root: folder that file names start from; None to look for it beside the JSON file.

    Returns:
        The folder that relative names start from, and (file_name, place for messages, image id) of each
        image.

    Raises:
        UserError: not a COCO file with images, or none of its pictures is found.
    """
    document = load_coco(path)
    if isinstance(document, list):
        raise UserError(
            f"{path} is a COCO results list: it names no pictures. Give it with --boxes, "
            "and the pictures or their COCO file as INPUT"
        )
    if not isinstance(document, dict) or "images" not in document:
        raise UserError(
            f'{path} is not a COCO file: it has no "images" list of objects with id and file_name'
        )
    images = records(document, "images", path)
    if not images:
        raise UserError(f'{path}: its "images" list is empty; nothing to annotate')
    del document
    entries = [_entry(image, path, place) for place, image in enumerate(images)]
    return _image_root(path, image_root, [name for name, _, _ in entries[:_PROBES]]), iter(entries)


def _entry(image: dict[str, Any], path: str, place: int) -> tuple[str, str, int]:
    where = f"{path}: images[{place}]"
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        raise UserError(f"{where} has no file_name")
    if "id" not in image:
        raise UserError(f"{where} ({name}) has no id")
    return name, where, integer_id(image["id"], where)


def _image_root(path: str, image_root: str | None, names: list[str]) -> str:
    if image_root is not None and is_remote(image_root):
        return image_root
    names = [name for name in names if not is_remote(name)]
    relative = [name for name in (to_path(name, path) for name in names) if not os.path.isabs(name)]
    folder = os.path.dirname(path)
    candidates = [os.path.abspath(image_root)] if image_root else _near(path)
    if not relative:
        return candidates[0]
    found = {root: sum(os.path.exists(os.path.join(root, name)) for name in relative) for root in candidates}
    best = max(candidates, key=lambda root: found[root])
    if not found[best]:
        looked = image_root or f"{folder} and the image folders beside it"
        raise UserError(
            f"{path}: none of its first {len(relative):,} pictures, such as {relative[0]}, is in {looked}; "
            "name the folder that its file names start from with --image-root"
        )
    return best


def _near(path: str) -> list[str]:
    """Where the pictures of a COCO file usually lie; COCO's own layout is the last one."""
    folder, name = os.path.split(path)
    parent = os.path.dirname(folder)
    split = os.path.splitext(name)[0].rpartition("_")[2]
    near = [folder, f"{folder}/images", f"{folder}/{split}", f"{parent}/images", f"{parent}/{split}"]
    return [os.path.normpath(place) for place in near]
