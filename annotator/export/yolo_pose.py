"""YOLO-pose as Ultralytics reads it: a text file a picture, data.yaml, and links to the pictures.

https://docs.ultralytics.com/datasets/pose/
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import yaml

from annotator.export.exported import Exported
from annotator.export.pictures import Person, Picture, pictures
from annotator.locations import is_remote
from annotator.skeletons import Skeleton
from annotator.store.atomic import atomic_folder
from annotator.store.reader import Run
from annotator.uris import local_path


def write_yolo_pose(run: Run, path: str | Path, *, min_score: float = 0.0) -> Exported:
    """Write a folder with `data.yaml`, `labels/` and `images/`.

    A line is `0 cx cy w h x y v ...`, in shares of width and height; v is COCO's, and a joint of v = 0 is
    `0 0 0`. The format takes nothing outside the picture: boxes are cut, joints beyond the edge are v = 0.
    Pictures are links to files of this machine; where there is none the picture is counted (`no_picture`),
    and `images/` is to be filled by the names in `labels/`. A folder of the run that is called `images` is
    written as `images_`. Frames of videos have no file and are left out. So are pictures of a reviewed run
    (`ReviewedRun`, "accepted") in which somebody was not accepted.

    Args:
        path: a folder that is new or empty.
        min_score: people below it are left out; their pictures stay.

    Raises:
        UserError: nothing was committed yet, or the folder is not empty or cannot be written.
        RunFailed: a data file is damaged, or the disk is full.
    """
    skeleton, done = run.skeleton, Exported(Path(path))
    # To a trainer whoever has a line is a person, with joints or without, and whoever has none is background:
    # no line is right for people whom nobody has decided about.
    accepted = run.accepted
    with atomic_folder(path) as folder:
        (folder / "labels").mkdir()
        (folder / "images").mkdir()
        (folder / "data.yaml").write_text(_description(skeleton), encoding="utf-8")
        for picture in pictures(run, done, min_score=min_score):
            if picture.is_frame:
                done.no_file += 1
                continue
            if accepted is not None and not accepted.issuperset(person.id for person in picture.people):
                done.not_accepted += 1
                continue
            done.no_picture += not _write_picture(folder, picture)
            done.images += 1
            done.add_people(person.doubts for person in picture.people)
    return done


def _description(skeleton: Skeleton) -> str:
    document = {
        "train": "images",
        "val": "images",
        "kpt_shape": [len(skeleton), 3],
        "flip_idx": list(skeleton.flip_indices),
        "names": {0: "person"},
        "kpt_names": {0: list(skeleton.keypoints)},
    }
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=None)


def _write_picture(folder: Path, picture: Picture) -> bool:
    """Write a label and link to its picture; whether there is one."""
    parts = (part for part in PurePosixPath(picture.file_name).parts if part not in ("/", ".."))
    # Ultralytics looks for a label where the last `images` of a picture's path says `labels`: that is ours.
    name = PurePosixPath(*("images_" if part == "images" else part for part in parts))
    label = folder / "labels" / name.with_suffix(".txt")
    # Two pictures that differ only in their suffix, or in what a folder was called, would share a text file.
    while label.exists():
        name = name.with_name(f"{name.stem}-{picture.image_id}{name.suffix}")
        label = folder / "labels" / name.with_suffix(".txt")
    label.parent.mkdir(parents=True, exist_ok=True)
    label.write_text("".join(_line(person, picture) for person in picture.people))
    image = folder / "images" / name
    image.parent.mkdir(parents=True, exist_ok=True)
    if is_remote(picture.uri):
        return False
    image.symlink_to(Path(local_path(picture.uri)).absolute())
    return image.exists()


def _line(person: Person, picture: Picture) -> str:
    size = np.array([picture.width, picture.height], np.float64)
    low = np.clip(person.bbox[:2] / size, 0, 1)
    high = np.clip((person.bbox[:2] + person.bbox[2:]) / size, 0, 1)
    numbers = [*((low + high) / 2), *(high - low)]
    text = "0 " + " ".join(f"{number:.8f}" for number in numbers)
    for x, y, v in person.keypoints.astype(np.float64):
        place = np.array([x, y]) / size
        if v > 0 and (place >= 0).all() and (place <= 1).all():
            text += f" {place[0]:.8f} {place[1]:.8f} {int(v)}"
        else:
            text += " 0 0 0"
    return text + "\n"
